package chord

import (
	"time"

	"github.com/secp2psip/secp2psip/chord/zave"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// The bounds of one attempt to join.
const (
	joinChains = 4  // members asked at a time, each the start of a chain
	joinHops   = 32 // answers "ask somebody closer" that one chain follows
	joinTries  = 3  // rounds in a row in which nobody answers, before giving up
	joinRounds = 10 // rounds among nodes that are all joining, before one creates a ring
	joinQueue  = 64 // seeds
)

// joining is the way into the ring. Each chain starts at a seed and follows the
// members' advice towards the node's place; the first member that lets the node
// in ends them all.
//
// When a whole LAN comes back from a power cut everybody is joining and nobody
// is a member. A node that hears only from others that are joining, too, and
// has the lowest ID of them creates a ring; so does anyone when that has taken
// too long. Should two do so, their rings merge.
type joining struct {
	seeds  []wire.Peer
	queue  []wire.Peer // seeds not yet asked in this round
	chains map[ID]int  // nodes being asked, and the hops that led there
	others map[ID]bool // live nodes that are joining, too
	rounds int
	heard  bool      // some member has answered in this round
	silent int       // rounds in a row in which none has
	next   time.Time // start of the next round
}

func (m *Machine) startJoin(seeds []wire.Peer) {
	if m.phase == PhaseJoined {
		m.emit(Effect{Kind: Joined})
		return
	}
	m.join = joining{chains: make(map[ID]int), others: make(map[ID]bool)}
	for _, p := range seeds {
		if p.ID != m.cfg.Self.ID && len(m.join.seeds) < joinQueue {
			m.join.seeds = append(m.join.seeds, clonePeer(p))
		}
	}
	m.version++
	if len(m.join.seeds) == 0 {
		m.phase = PhaseIdle
		m.emit(Effect{Kind: JoinFailed})
		return
	}
	m.phase = PhaseJoining
	m.join.next = m.now
}

func (m *Machine) tickJoin() {
	if len(m.join.chains) > 0 || m.join.next.After(m.now) {
		return
	}
	m.join.rounds++
	m.join.queue = append(m.join.queue[:0], m.join.seeds...)
	m.rng.Shuffle(len(m.join.queue), func(i, j int) {
		q := m.join.queue
		q[i], q[j] = q[j], q[i]
	})
	m.join.next = m.now.Add(maxTimeout)
	m.fillChains()
	if len(m.join.chains) == 0 {
		m.joinRoundOver()
	}
}

func (m *Machine) fillChains() {
	for len(m.join.queue) > 0 && len(m.join.chains) < joinChains {
		p := m.join.queue[0]
		m.join.queue = m.join.queue[1:]
		m.ask(p, 0)
	}
}

func (m *Machine) ask(p wire.Peer, hops int) bool {
	if _, asked := m.join.chains[p.ID]; asked || p.ID == m.cfg.Self.ID || hops > joinHops {
		return false
	}
	m.join.chains[p.ID] = hops
	m.call(callJoin, p, &wire.Join{Self: m.cfg.Self})
	return true
}

func (m *Machine) joinAnswered(c *call, msg wire.Message, how answer) {
	if m.phase != PhaseJoining {
		return
	}
	hops := m.join.chains[c.peer.ID]
	delete(m.join.chains, c.peer.ID)
	joined, _ := msg.(*wire.Joined)
	m.join.heard = m.join.heard || how == answered
	switch {
	case how == refusedM:
		m.join.others[c.peer.ID] = true
	case how == answered && joined.Accepted:
		if m.accepted(c, joined) {
			return
		}
	case how == answered:
		m.closer(c, joined, hops)
	}
	m.fillChains()
	if len(m.join.chains) == 0 {
		m.joinRoundOver()
	}
}

// closer follows a member's advice, which must lead on towards the node's own
// place. All of the peers are asked; some of them may be dead.
func (m *Machine) closer(c *call, joined *wire.Joined, hops int) {
	for _, p := range joined.Closer[:min(len(joined.Closer), nextHops)] {
		if !between(c.peer.ID, p.ID, m.cfg.Self.ID) {
			m.refuse(RefusedNoProgress)
			continue
		}
		if len(m.join.chains) < 2*joinChains {
			m.ask(clonePeer(p), hops+1)
		}
	}
}

// accepted makes the node a member, if what it is given makes sense.
func (m *Machine) accepted(c *call, joined *wire.Joined) bool {
	at := zave.View{Self: c.peer.ID, R: m.ring.R, Succ: m.list(joined.Succ)}
	ring, ok := zave.Join(m.cfg.Self.ID, at)
	if !ok {
		m.refuse(RefusedUnexpected)
		return false
	}
	m.remember(m.join.seeds)
	m.ring = ring
	m.dead.raise(c.peer.ID)
	m.table.firsthand(c.peer, m.now)
	for i := range joined.Succ[:min(len(joined.Succ), zave.MaxSuccessors)] {
		if p := joined.Succ[i]; p.ID != m.cfg.Self.ID {
			m.dead.raise(p.ID)
			m.table.hearsay(p, c.peer.ID)
		}
	}
	m.become()
	return true
}

// joinRoundOver decides what to do when no seed has let the node in.
func (m *Machine) joinRoundOver() {
	lowest := len(m.join.others) > 0
	for id := range m.join.others {
		if id.Compare(m.cfg.Self.ID) < 0 {
			lowest = false
		}
	}
	m.join.silent++
	if m.join.heard {
		m.join.heard, m.join.silent = false, 0
	}
	switch {
	case len(m.join.others) == 0 && m.join.silent >= joinTries:
		m.phase = PhaseIdle
		m.version++
		m.remember(m.join.seeds)
		m.join = joining{}
		m.emit(Effect{Kind: JoinFailed})
	case lowest || len(m.join.others) > 0 && m.join.rounds >= joinRounds:
		m.create(m.join.seeds)
	default:
		m.join.next = m.now.Add(m.jitter(300 * time.Millisecond))
	}
}

// sawJoining notes that a node that asks to be let in is itself no member.
func (m *Machine) sawJoining(id ID) {
	if m.phase == PhaseJoining && len(m.join.others) < joinQueue {
		m.join.others[id] = true
	}
}

// leave says goodbye to those that list this node as predecessor or successor;
// in a small ring that is everybody.
func (m *Machine) leave() {
	if m.phase == PhaseJoined && m.ring.Succ.Len() > 0 {
		bye := &wire.Leave{Self: m.cfg.Self, Pred: m.peerOf(m.ring.Pred), Succ: m.successors()}
		told := map[ID]bool{}
		tell := func(id ID) {
			if c := m.table.get(id); c != nil && !told[id] {
				told[id] = true
				m.call(callLeave, c.peer, bye)
			}
		}
		tell(m.ring.Pred)
		for i, id := range m.ring.Succ.IDs() {
			if i == 0 || m.ring.Small() {
				tell(id)
			}
		}
		var buf [zave.MaxSuccessors]*contact
		for _, c := range m.table.order.before(m.ring.Self, m.ring.Self, int(m.ring.R), buf[:0]) {
			tell(c.peer.ID)
		}
	}
	m.phase = PhaseLeft
	m.version++
	m.emit(Effect{Kind: Left})
}
