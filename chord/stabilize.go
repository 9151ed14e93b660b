package chord

import (
	"slices"
	"time"

	"github.com/secp2psip/secp2psip/chord/zave"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// operation is the stabilisation under way; there is one at a time.
type operation struct {
	active bool
	since  time.Time
	drops  int // dead heads dropped by it
	before zave.State
}

// maxOperation ends an operation whose calls got lost.
const maxOperation = 10 * time.Second

// stabilize starts a round: the head is asked for its state, and in a small
// ring everybody else is, too.
func (m *Machine) stabilize() {
	if m.op.active && m.now.Sub(m.op.since) < maxOperation {
		m.nextStab = m.now.Add(m.interval())
		return
	}
	m.op = operation{active: true, since: m.now, before: m.ring}
	m.nextStab = m.now.Add(m.interval())
	m.lookAround()
	if m.ring.Succ.Len() == 0 {
		m.settle()
		return
	}
	m.askHead(callStabilize)
}

// lookAround asks those whose life the node has to know of beside the head's:
// those under suspicion, the predecessor, and in small-ring mode all.
func (m *Machine) lookAround() {
	for _, id := range m.table.suspected() { // those whose probe found no place
		m.probe(id)
	}
	if m.ring.Small() {
		window := m.cfg.Timing.Fast
		if m.quiet >= idealRounds { // of a pair at rest, one asking is enough
			window = m.cfg.Timing.Slow / 2
		}
		for _, id := range m.ring.Succ.IDs() {
			if id != m.ring.Head() && !m.heardWithin(id, window) {
				m.probe(id)
			}
		}
		m.meetKnown()
		return
	}
	if m.ring.Pred != m.ring.Self && !m.heardWithin(m.ring.Pred, m.interval()+m.cfg.Timing.Fast) {
		m.probe(m.ring.Pred)
	}
}

// askHead asks the head of the list for its state. Heads that nobody knows an
// address of are padding, or have been found dead: they are dropped at once.
func (m *Machine) askHead(kind callKind) {
	for range 2 * zave.MaxSuccessors {
		if m.ring.Succ.Len() == 0 || m.op.drops > int(m.ring.R) {
			break
		}
		if c := m.table.get(m.ring.Head()); c != nil {
			m.call(kind, c.peer(), m.ask(m.ring.Head()))
			return
		}
		m.op.drops++
		kind = callNextHead
		m.setRing(zave.SuccessorDead(m.ring).State)
	}
	m.stranded()
}

// stabilized takes in an answer of the operation under way.
func (m *Machine) stabilized(c *call, s *wire.State, how answer) {
	if !m.op.active {
		return
	}
	isHead := c.peer.ID == m.ring.Head()
	switch {
	case how == odd:
		m.settle() // it lives; try again next time
	case c.kind == callCandidate && how == answered:
		m.apply(zave.CandidateLive(m.ring, m.view(s)))
	case c.kind == callCandidate:
		m.apply(zave.CandidateDead(m.ring))
	case !isHead: // the list has changed meanwhile
		m.settle()
	case how == answered && c.kind == callNextHead:
		m.apply(zave.SuccessorFound(m.ring))
		m.nextStab = m.now // adopt its list
	case how == answered:
		m.quietly(s)
		m.apply(m.needed(s, zave.SuccessorLive(m.ring, m.view(s))))
	default:
		m.dropHead()
	}
}

// dropHead drops the dead head and asks the next.
func (m *Machine) dropHead() {
	if !m.op.active {
		m.op = operation{active: true, since: m.now, before: m.ring}
	}
	if !m.ring.Small() { // else it is forgotten already
		m.op.drops++
		m.setRing(zave.SuccessorDead(m.ring).State)
	}
	m.askHead(callNextHead)
}

// apply takes over what an operation gave and goes on with what it wants done.
func (m *Machine) apply(step zave.Step) {
	m.setRing(step.State)
	if step.Short {
		m.startShrink()
	}
	if step.HasCandidate {
		c := m.table.get(step.Candidate)
		if c != nil && m.dead.byID[step.Candidate] == nil && m.call(callCandidate, c.peer(), m.ask(step.Candidate)) {
			return
		}
		step = zave.CandidateDead(m.ring)
	}
	if step.HasNotify {
		m.notify(step.Notify)
	}
	m.settle()
}

// needed drops the Notify that would change nothing. The operation ends with
// Rectify at the head, which with its predecessor for the new one leaves its
// state as it is, whether that predecessor lives or not. The head's answer said
// that this node is its predecessor; so the operation is what it would have been
// had Rectify run at the moment of that answer. Should the head's predecessor
// change after it, the next round's answer says so.
//
// A head that has not been told of this node's addresses is told once.
func (m *Machine) needed(s *wire.State, step zave.Step) zave.Step {
	agreed := step.HasNotify && step.Notify == s.Self.ID && s.Pred != nil && s.Pred.ID == m.ring.Self
	if agreed && m.head == s.Self.ID && slices.Equal(m.told.Addrs, m.cfg.Self.Addrs) {
		step.HasNotify = false
	}
	return step
}

// notify tells a member about this node.
func (m *Machine) notify(id ID) {
	if c := m.table.get(id); c != nil {
		m.head, m.told = id, m.cfg.Self
		m.call(callNotify, c.peer(), &wire.Notify{Self: m.cfg.Self})
	}
}

// settle ends the operation under way.
func (m *Machine) settle() {
	if was := &m.op.before; m.op.active && *was != m.ring && m.hasty(was.Pred != m.ring.Pred || was.Head() != m.ring.Head()) {
		m.soon()
	}
	m.op = operation{}
}

// soon brings the next round forward.
func (m *Machine) soon() {
	if soon := m.now.Add(m.cfg.Timing.Fast / 3); m.nextStab.After(soon) {
		m.nextStab = soon
	}
}

// quietly counts rounds in which the head and this node agree about their
// neighbourhood.
func (m *Machine) quietly(s *wire.State) {
	if s.Pred != nil && s.Pred.ID == m.ring.Self && !m.predDead {
		m.quiet++
		if m.quiet == idealRounds {
			m.version++
		}
	}
}

// idealRounds is how many rounds nothing may have changed in a ring that looks
// ideal from here.
const idealRounds = 2

// ideal reports whether the ring looks ideal from here.
func (m *Machine) ideal() bool {
	return m.phase == PhaseJoined && !m.predDead && !m.shrink.active &&
		(m.quiet >= idealRounds || m.ring.Succ.Len() == 0 && m.unsettled.IsZero())
}

// stranded is a node all of whose successors died at once. It starts over as a
// ring of one and asks everybody it ever knew; while they have time to answer,
// it does not pretend to be responsible for the whole circle.
func (m *Machine) stranded() {
	m.op = operation{}
	m.setRing(zave.Alone(m.ring.Self, int(m.ring.R)))
	asked := 0
	at := place{}
	for range m.table.order.len() {
		c := m.table.order.get(at)
		if at = m.table.order.next(at); asked < maxProbes && c.is(verified) && m.probe(c.id()) {
			asked++
		}
	}
	m.dead.rouse(m.now, nil)
	if asked+len(m.dead.byID) > 0 {
		m.unsettled = m.now.Add(2 * maxTimeout)
	}
}

// settledNow reports whether the node may speak for its part of the circle.
func (m *Machine) settledNow() bool {
	return m.phase == PhaseJoined && (m.ring.Succ.Len() > 0 || m.unsettled.IsZero())
}

// shrink is the check of the whole list that comes before small-ring mode.
type shrink struct {
	active bool
	since  time.Time
	until  time.Time
}

// startShrink asks every entry of the list.
func (m *Machine) startShrink() {
	if m.shrink.active {
		return
	}
	m.shrink = shrink{active: true, since: m.now, until: m.now.Add(firstTimeout + maxTimeout + callGrace)}
	for _, id := range m.ring.Succ.IDs() {
		m.probe(id)
	}
	if m.ring.Pred != m.ring.Self {
		m.probe(m.ring.Pred)
	}
}

// tickShrink ends the check when every entry has answered or is known to be
// dead, or when time is up.
func (m *Machine) tickShrink() {
	if !m.shrink.active {
		return
	}
	since := m.table.stamp(m.shrink.since)
	live := func(id ID) bool {
		c := m.table.get(id)
		return c != nil && !c.is(suspect) && c.heard >= since
	}
	if m.now.Before(m.shrink.until) {
		for _, id := range m.ring.Succ.IDs() {
			if m.table.get(id) != nil && !live(id) {
				return
			}
		}
	}
	m.shrink = shrink{}
	m.setRing(zave.Shrink(m.ring, live))
	m.version++
}
