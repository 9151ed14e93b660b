package node

import (
	"net/netip"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// Hosts that have IPv4 only and hosts that have IPv6 only reach each other through
// members that have both. Members of the ring have to reach one another, so who
// comes to a ring of which some members are out of its reach uses it as a client,
// attached to members that have both, and they pass sealed packets on in both
// directions: from anybody to the client as to any other, and from the client to
// those members that it cannot reach.

// familiesOf tells which address families there are among addresses.
func familiesOf(addrs []netip.AddrPort) (four, six bool) {
	for _, a := range addrs {
		four, six = four || a.Addr().Is4(), six || a.Addr().Is6()
	}
	return four, six
}

// share tells whether two nodes at these addresses have a family in common, or
// one of them has no address at all.
func share(a, b []netip.AddrPort) bool {
	four, six := familiesOf(a)
	otherFour, otherSix := familiesOf(b)
	return len(a) == 0 || len(b) == 0 || four && otherFour || six && otherSix
}

// both tells whether a node has both families.
func both(addrs []netip.AddrPort) bool {
	four, six := familiesOf(addrs)
	return four && six
}

// yields tells whether this node is to use the ring as a client because members
// are out of its reach.
func (n *Node) yields(members []wire.Peer) bool {
	return yields(n.Self().Addrs, n.owner, members)
}

// yields: more owners' members have the other family only than have its own only,
// at least two more if its own is IPv4. So of two sides one yields, and one person
// who says that a member has only the other family moves nobody out of a ring of
// IPv4.
func yields(self []netip.AddrPort, owner identity.OwnerTag, members []wire.Peer) bool {
	four, six := familiesOf(self)
	if four == six {
		return false
	}
	mine, theirs := map[identity.OwnerTag]bool{}, map[identity.OwnerTag]bool{}
	for _, p := range members {
		switch theirFour, theirSix := familiesOf(p.Addrs); {
		case p.Owner == owner || theirFour == theirSix:
		case theirFour == four:
			mine[p.Owner] = true
		default:
			theirs[p.Owner] = true
		}
	}
	if four {
		return len(theirs) > len(mine)+1
	}
	return len(theirs) > len(mine)
}

// apart tells whether this node and another one have no family in common.
func (n *Node) apart(p wire.Peer) bool { return !share(n.Self().Addrs, p.Addrs) }

// mayMeet tells whether a direct way to a node is worth trying.
func (n *Node) mayMeet(id identity.NodeID) bool {
	ring := n.Ring()
	if ring == nil {
		return false
	}
	p, _, ok := ring.View().Member(id)
	return !ok || !n.apart(p)
}

// across implements link.Across.
type across struct{ n *Node }

// Through names the attachments, for a node that is apart.
func (a across) Through(to wire.Peer) (peers []wire.Peer) {
	if !a.n.apart(to) {
		return nil
	}
	for _, h := range a.n.holding.all() {
		peers = append(peers, wire.Peer{ID: h.Peer.ID, Owner: h.Peer.Owner, Addrs: h.via.Addrs})
	}
	return peers
}

// Passes finds the member that a client cannot reach by the family by which it is
// seen here.
func (a across) Passes(client identity.NodeID, seen netip.Addr, to identity.NodeID) (wire.Peer, bool) {
	ring := a.n.Ring()
	if ring == nil || a.n.isClient() || !both(a.n.Self().Addrs) {
		return wire.Peer{}, false
	}
	p, _, ok := ring.View().Member(to)
	if !ok || share(p.Addrs, []netip.AddrPort{netip.AddrPortFrom(seen.Unmap(), 1)}) {
		return wire.Peer{}, false
	}
	return p, true
}

// Hears: a member of one family hears members that have both.
func (a across) Hears(from identity.NodeID) bool {
	ring := a.n.Ring()
	if ring == nil || both(a.n.Self().Addrs) {
		return false
	}
	p, _, ok := ring.View().Member(from)
	return ok && both(p.Addrs)
}

// servesAcross tells whether a member answers a request although a peer passes it
// on: what clients ask, where no other way leads here.
func (n *Node) servesAcross(from *link.Conn, req wire.Message) bool {
	switch req.(type) {
	case *wire.Find, *wire.Fetch, *wire.Store, *wire.StoreMany, *wire.GetMembers, *wire.GetCertificates:
		return across{n}.Hears(from.Via())
	}
	return false
}
