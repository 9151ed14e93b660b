package simnet

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/secp2psip/secp2psip/chord"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// node is a device that is enrolled. It may run or not.
type node struct {
	num    int32
	gen    uint32 // of its runs; odd while it runs
	diedAt int64  // when its last run ended
	peer   wire.Peer
	city   int
	access time.Duration
	side   uint8 // of a partition
	seed   uint64
	shard  uint8
	rng    *rand.Rand // of what it sends
	bad    bool       // it attacks
	nat    bool       // nobody reaches it from outside

	machine  *chord.Machine // nil while it does not run
	member   bool
	arranged uint64 // how often it has arranged something
	place    int    // in Sim.live or Sim.idle
	timerAt  int64  // when the next evTimer comes; 0 = none is set
	view     *chord.View
	version  uint64 // of view
	links    map[int32]*link
	known    []wire.Peer // members of its last run
	certs    []uint64    // a bit for each node whose certificate it has met in this run
	certsAt  int64       // when it met one last

	key        identity.PrivateKey // the node's
	person     *person             // nil until it first runs, and in plain runs
	keeping    *keeping
	publishDue int64
	via        []record.Via // that its registration names, of a client
}

func (n *node) up() bool { return n.machine != nil }

// port is the port of every node; the address tells the number.
const port = 5062

func addrOf(num int32) netip.AddrPort {
	ip := [4]byte{10}
	ip[1], ip[2], ip[3] = byte(num>>16), byte(num>>8), byte(num)
	return netip.AddrPortFrom(netip.AddrFrom4(ip), port)
}

func (s *Sim) addNode() {
	n := &node{num: int32(len(s.nodes)), city: s.rng.IntN(len(s.cities.names)), access: drawAccess(s.rng), seed: s.rng.Uint64()}
	n.rng = rand.New(rand.NewPCG(n.seed, 0x77617973))
	n.peer = wire.Peer{ID: s.randomID(), Addrs: []netip.AddrPort{addrOf(n.num)}}
	var tag identity.OwnerTag
	binary.BigEndian.PutUint64(tag[:], s.rng.Uint64())
	n.peer.Owner = tag
	n.place = len(s.idle)
	s.nodes = append(s.nodes, n)
	s.idle = append(s.idle, n.num)
	s.byID[n.peer.ID] = n.num
}

func (s *Sim) randomID() (id chord.ID) {
	binary.BigEndian.PutUint64(id[:], s.rng.Uint64())
	binary.BigEndian.PutUint64(id[8:], s.rng.Uint64())
	return id
}

// nodeAt returns the node that an address leads to, or nil.
func (s *Sim) nodeAt(p *wire.Peer) *node {
	if len(p.Addrs) == 0 || !p.Addrs[0].Addr().Is4() {
		return nil
	}
	num := numOf(p.Addrs[0].Addr())
	if num >= len(s.nodes) {
		return nil
	}
	return s.nodes[num]
}

// numOf returns the number that an address tells.
func numOf(addr netip.Addr) int {
	ip := addr.As4()
	return int(ip[1])<<16 | int(ip[2])<<8 | int(ip[3])
}

// step runs a node's machine and carries out what it wants done.
func (s *shard) step(n *node, ev chord.Event) {
	joined, moved := false, false
	effects := n.machine.Step(s.at(s.now), ev)
	for i := range effects {
		e := &effects[i]
		switch e.Kind {
		case chord.Send:
			s.send(n, e.To, e.Msg, e.Timeout, e.ID, byMachine)
		case chord.Reply:
			s.replies = append(s.replies, reply{e.ID, e.Msg})
		case chord.Joined:
			joined = true
		case chord.Moved:
			moved = true
		case chord.JoinFailed:
			again := event{at: s.now + int64(joinRetry), kind: evJoin, ref: n.num, gen: n.gen}
			s.tell(n, func(s *Sim) { s.push(again) })
		case chord.Barred:
			again := event{at: s.now + int64(e.Timeout), kind: evJoin, ref: n.num, gen: n.gen}
			s.tell(n, func(s *Sim) { s.push(again) })
		}
	}
	if member := n.machine.Phase() == chord.PhaseJoined; member != n.member {
		n.member = member
		s.tell(n, func(s *Sim) {
			if member {
				s.ring.add(n.peer.ID, n.num)
			} else {
				s.ring.remove(n.peer.ID)
			}
		})
	}
	s.setTimer(n)
	if joined && n.person != nil {
		s.keep(n, chord.Became{})
		s.after(0, n, event{kind: evTend, ref: n.num, gen: n.gen})
	}
	if moved {
		s.keep(n, chord.Changed{})
	}
}

// setTimer sees to it that a node is ticked when it wants to be. A timer that
// is set too early finds nothing due and is set anew.
func (s *shard) setTimer(n *node) {
	at := n.machine.Deadline()
	if at.IsZero() {
		return
	}
	due := max(int64(at.Sub(s.start)), s.now)
	if n.timerAt != 0 && n.timerAt <= due {
		return
	}
	n.timerAt = due
	s.push(n, event{at: due, kind: evTimer, ref: n.num, gen: n.gen})
}

func (s *shard) timer(e event) {
	n := s.nodes[e.ref]
	if n.gen != e.gen || n.timerAt != e.at {
		return
	}
	n.timerAt = 0
	if at := n.machine.Deadline(); !at.IsZero() && int64(at.Sub(s.start)) > s.now {
		s.setTimer(n)
		return
	}
	s.step(n, chord.Tick{})
}

// viewOf returns what a node knows of the ring, made anew only when it has
// changed.
func (n *node) viewOf() *chord.View {
	if v := n.machine.Version(); n.view == nil || n.version != v {
		n.view, n.version = n.machine.View(), v
	}
	return n.view
}
