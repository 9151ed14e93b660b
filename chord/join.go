package chord

import (
	"slices"
	"time"

	"github.com/secp2psip/secp2psip/chord/zave"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// The bounds of one attempt to join.
const (
	joinParallel = 2  // members asked at a time
	joinAsks     = 48 // members asked in one round
	joinTries    = 3  // rounds in a row in which nobody answers, before giving up
	joinRounds   = 10 // rounds among nodes that are all joining, before one creates a ring
	joinQueue    = 64 // seeds

	joinWait = 100 * time.Millisecond // before the second round; up to four times that later
)

// joining is the way into the ring. Of the seeds and the members that others
// name, those that precede this node most closely are asked first; the first one
// that lets the node in ends it.
//
// When a whole LAN comes back from a power cut everybody is joining and nobody
// is a member. A node that hears only from others that are joining, too, and
// has the lowest ID of them creates a ring; so does anyone when that has taken
// too long. Should two do so, their rings merge.
type joining struct {
	seeds  []wire.Peer
	queue  []wire.Peer // to be asked in this round, the closest first
	asked  map[ID]bool // in this round
	flying int
	others map[ID]bool // live nodes that are joining, too
	rounds int
	heard  bool        // some member has answered in this round
	silent int         // rounds in a row in which none has
	next   time.Time   // start of the next round
	barred *wire.Error // what a member has said that does not let the node in for a while
}

func (m *Machine) startJoin(seeds []wire.Peer) {
	if m.phase == PhaseJoined {
		m.emit(Effect{Kind: Joined})
		return
	}
	m.dropJoin()
	m.join = joining{others: make(map[ID]bool)}
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
	if m.join.flying > 0 || m.join.next.After(m.now) {
		return
	}
	m.join.rounds++
	m.join.asked = make(map[ID]bool)
	m.join.queue = nil
	for _, p := range m.join.seeds {
		m.enqueue(p)
	}
	m.askToJoin()
}

// enqueue puts a member where its distance before this node says.
func (m *Machine) enqueue(p wire.Peer) {
	d := p.ID.Distance(m.cfg.Self.ID)
	i, found := slices.BinarySearchFunc(m.join.queue, d, func(q wire.Peer, d ID) int {
		return q.ID.Distance(m.cfg.Self.ID).Compare(d)
	})
	if !found && p.ID != m.cfg.Self.ID && len(m.join.queue) < joinQueue {
		m.join.queue = slices.Insert(m.join.queue, i, p)
	}
}

// askToJoin asks the closest members, or ends the round when nobody is left.
func (m *Machine) askToJoin() {
	j := &m.join
	for len(j.queue) > 0 && j.flying < joinParallel && len(j.asked) < joinAsks {
		p := j.queue[0]
		j.queue = j.queue[1:]
		if !j.asked[p.ID] {
			j.asked[p.ID] = true
			j.flying++
			m.call(callJoin, p, &wire.Join{Self: m.cfg.Self})
		}
	}
	if j.flying == 0 {
		m.joinRoundOver()
	}
}

func (m *Machine) joinAnswered(c *call, msg wire.Message, how answer) {
	if m.phase != PhaseJoining || m.join.flying == 0 {
		return
	}
	m.join.flying--
	joined, _ := msg.(*wire.Joined)
	m.join.heard = m.join.heard || how == answered
	switch {
	case how == refusedM:
		m.sawJoining(c.peer.ID)
	case how == answered && joined.Accepted:
		if m.accepted(c, joined) {
			return
		}
	case how == answered:
		m.closer(c, joined)
	case barred(msg) != nil:
		m.barredBy(c.peer.ID, msg)
	}
	m.askToJoin()
}

// barredBy notes that a member does not let the node in. Only those that lie
// closer may know better.
func (m *Machine) barredBy(by ID, msg wire.Message) {
	m.join.barred, _ = msg.(*wire.Error)
	i := slices.IndexFunc(m.join.queue, func(p wire.Peer) bool { return !between(by, p.ID, m.cfg.Self.ID) })
	if i >= 0 {
		m.join.queue = m.join.queue[:i]
	}
}

// closer takes a member's advice, which must lead on towards the node's own
// place.
func (m *Machine) closer(c *call, joined *wire.Joined) {
	for _, p := range joined.Closer[:min(len(joined.Closer), nextHops)] {
		if !between(c.peer.ID, p.ID, m.cfg.Self.ID) {
			m.refuse(RefusedNoProgress)
			continue
		}
		m.enqueue(clonePeer(p))
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
	case m.join.barred != nil:
		m.emit(Effect{Kind: Barred, Msg: m.join.barred, Timeout: barred(m.join.barred).For})
		m.phase, m.join = PhaseIdle, joining{}
		m.version++
	case len(m.join.others) == 0 && m.join.silent >= joinTries:
		m.phase = PhaseIdle
		m.version++
		m.remember(m.join.seeds)
		m.join = joining{}
		m.emit(Effect{Kind: JoinFailed})
	case lowest || len(m.join.others) > 0 && m.join.rounds >= joinRounds:
		m.create(m.join.seeds)
	default:
		m.join.next = m.now.Add(m.jitter(min(joinWait<<min(m.join.rounds, 8), 4*joinWait)))
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
		pred := m.peerOf(m.ring.Pred)
		bye := &wire.Leave{Self: m.cfg.Self, Pred: &pred, Succ: m.successors()}
		told := map[ID]bool{}
		tell := func(id ID) {
			if c := m.table.get(id); c != nil && !told[id] {
				told[id] = true
				m.call(callLeave, c.peer(), bye)
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
			tell(c.id())
		}
	}
	m.sayGoodbye()
	m.phase = PhaseLeft
	m.version++
	m.emit(Effect{Kind: Left})
}
