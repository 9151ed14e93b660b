package simnet

import (
	"slices"

	"github.com/secp2psip/secp2psip/chord"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// Devices behind a NAT: nobody who has not been called reaches them, so peers that
// dialled them back would fail, and they are clients from the start, in the
// product's own client phase. Their registration names three members to which
// they are attached and which pass sealed packets on; a resolution of such a name
// is right when one of those members is still there to do so. The relay itself
// is not simulated.

// attachedTo is how many members a client is attached to.
const attachedTo = 3

// translate puts a share of all devices behind NATs.
func (s *Sim) translate() {
	if s.cfg.NAT == 0 {
		return
	}
	for _, i := range s.rng.Perm(len(s.nodes))[:int(s.cfg.NAT*float64(len(s.nodes)))] {
		s.nodes[i].nat = true
	}
}

// attend lets a device behind a NAT become a client.
func (s *Sim) attend(n *node) {
	if len(s.ring.ids) == 0 {
		s.after(joinRetry, event{kind: evJoin, ref: n.num, gen: n.gen})
		return
	}
	s.of(n).step(n, chord.Attend{Members: append(s.seeds(), n.known...)})
	if n.person != nil {
		s.of(n).after(0, n, event{kind: evTend, ref: n.num, gen: n.gen})
	}
}

// serving reports whether a node uses the ring, as a member or as a client.
func (n *node) serving() bool { return n.member || n.nat && n.up() && n.viewOf().Attending() }

// reattach replaces the members that a client is attached to and that it does not
// know any more, and has the registration published anew where that changed it.
func (s *shard) reattach(n *node) {
	v := n.viewOf()
	peers := v.Peers()
	known := func(v record.Via) bool {
		return slices.ContainsFunc(peers, func(p wire.Peer) bool { return p.ID == v.Node })
	}
	via := slices.DeleteFunc(slices.Clone(n.via), func(v record.Via) bool { return !known(v) })
	for range len(peers) {
		if len(via) >= min(attachedTo, len(peers)) {
			break
		}
		p := peers[n.person.rng.IntN(len(peers))]
		if !slices.ContainsFunc(via, func(v record.Via) bool { return v.Node == p.ID }) {
			via = append(via, record.Via{Node: p.ID, Addrs: p.Addrs})
		}
	}
	same := func(a, b record.Via) bool { return a.Node == b.Node }
	if !slices.EqualFunc(via, n.via, same) {
		n.via, n.publishDue = via, s.now
	}
}

// relayed reports whether one of the members that a registration names can pass
// packets on.
func (s *Sim) relayed(via []record.Via) bool {
	return slices.ContainsFunc(via, func(v record.Via) bool {
		_, member := s.ring.search(v.Node)
		return member
	})
}
