package chord

import (
	"slices"
	"time"

	"github.com/secp2psip/secp2psip/chord/zave"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// maxProbes bounds the probes under way.
const maxProbes = 32

// probe asks a member, dead or alive, for its state. It returns false when that
// is under way already or cannot be done now.
func (m *Machine) probe(id ID) bool {
	if id == m.ring.Self || m.probing[id] || len(m.probing) >= maxProbes {
		return false
	}
	var p wire.Peer
	if c := m.table.get(id); c != nil {
		p = c.peer()
	} else if g := m.dead.byID[id]; g != nil {
		p = g.peer
	} else {
		return false
	}
	if !m.call(callProbe, p, m.ask(id)) {
		return false
	}
	m.probing[id] = true
	return true
}

// checkList asks every successor of which nothing was heard just now: where the
// head does not answer, it may not be alone in that, and who is found dead by
// the time that it becomes the head is dropped at once.
func (m *Machine) checkList() {
	for _, id := range m.ring.Succ.IDs() {
		if id != m.ring.Head() && !m.heardWithin(id, minTimeout) {
			m.probe(id)
		}
	}
}

// probed takes in the answer. What the dead did to the ring, gone has done.
func (m *Machine) probed(c *call, s *wire.State, how answer) {
	if how != answered {
		return
	}
	g := m.dead.byID[c.peer.ID]
	back := m.dead.raise(c.peer.ID)
	if back {
		delete(m.news.told, c.peer.ID) // its descriptor is worth something again
		m.news.toldIDs = slices.DeleteFunc(m.news.toldIDs, func(id ID) bool { return id == c.peer.ID })
		m.rouseDead()
		m.reunited(g.cut)
		m.hurry()
	}
	m.welcome(m.view(s))
}

// welcome makes use of a member that has just shown that it lives: a small ring
// takes everybody in, a large one whoever lies between this node and its head.
func (m *Machine) welcome(v zave.View) {
	if m.ring.Small() {
		m.setRing(zave.Meet(m.ring, v.Self))
		return
	}
	if v.Self != m.ring.Head() && zave.Candidate(&m.ring, v.Self) {
		step := zave.CandidateLive(m.ring, v)
		m.setRing(step.State)
		if step.HasNotify {
			m.notify(step.Notify)
		}
	}
}

// learn takes in the members that a state names, as hearsay. Those that matter
// to this node's own place are asked.
func (m *Machine) learn(s *wire.State) {
	last := s.Self.ID
	for _, p := range s.Succ[:min(len(s.Succ), zave.MaxSuccessors)] {
		if !between(last, p.ID, s.Self.ID) {
			m.refuse(RefusedUnexpected) // out of order: no member's list is
			break
		}
		last = p.ID
		m.hear(p, s.Self.ID)
	}
	if s.Pred != nil {
		m.hear(*s.Pred, s.Self.ID)
	}
}

func (m *Machine) hear(p wire.Peer, by ID) {
	if p.ID == m.ring.Self || m.refuted.has(p.ID, m.now) {
		return
	}
	if g := m.dead.byID[p.ID]; g != nil {
		// Somebody says that it lives; ask rather than believe.
		if soon := m.now.Add(graveFirst); g.next.After(soon) && g.wait > graveFirst {
			g.wait, g.next = graveFirst, soon
			m.dead.settle()
		}
		return
	}
	known := m.table.get(p.ID)
	if len(p.Addrs) == 0 && known == nil {
		return
	}
	wasKnown := known != nil
	if !m.table.hearsay(p, by) {
		return
	}
	if !wasKnown {
		m.explore.learned++
	}
	if !m.ring.Succ.Contains(p.ID) && (m.ring.Small() || !m.op.active && zave.Candidate(&m.ring, p.ID)) {
		m.probe(p.ID)
	}
}

// meetKnown asks members that a small ring has heard of and not met, a few at a
// time.
func (m *Machine) meetKnown() {
	const few = 16
	n := m.table.order.len()
	if n <= m.ring.Succ.Len() {
		return
	}
	start := m.rng.IntN(n)
	for i, asked := 0, 0; i < n && asked < few; i++ {
		id := m.table.order.at((start + i) % n).id()
		if !m.ring.Succ.Contains(id) && m.probe(id) {
			asked++
		}
	}
}

// gone is the verdict that a node is no member: calls to it failed twice, or it
// says so itself, which may change at any moment.
func (m *Machine) gone(id ID, how answer) {
	again := graveFirst
	if how == refusedM {
		again = 2 * m.cfg.Timing.Fast
	}
	if c := m.table.get(id); c != nil {
		met, p, who := c.is(verified), c.peer(), c.who
		m.departedAt(id)
		m.table.remove(id)
		if how == silent {
			m.witness(who)
		}
		delete(m.explore.fingers, id)
		if met {
			m.history.missed(id, m.now)
			m.dead.bury(p, m.now, again)
		} else if how == refusedM {
			m.refuted.add(id, m.now, again)
		} else {
			m.refuted.add(id, m.now, refutedFor)
		}
	}
	wasHead := m.ring.Head() == id && id != m.ring.Self
	m.setRing(zave.Forget(m.ring, id))
	if wasHead && m.ring.Succ.Len() == 0 {
		m.stranded()
		return
	}
	if m.ring.Pred == id && !m.predDead {
		m.predDead = true
		m.version++
		m.hurry()
	}
	if m.predDead && m.hasWaiting {
		m.adoptWaiting()
	}
	if wasHead && !m.op.active {
		m.dropHead()
	}
}

// departedAt counts the predecessor's death for the estimate of how long members
// stay.
func (m *Machine) departedAt(id ID) {
	if id == m.ring.Pred && id != m.ring.Self && !m.ring.Succ.Contains(id) {
		m.news.stay.departed()
	}
}

// countDeparted counts the deaths in the list: who has been in it and is not,
// though those behind are.
func (m *Machine) countDeparted(before *zave.State) {
	n := m.ring.Succ.Len()
	if n == 0 || before.Self != m.ring.Self || m.phase != PhaseJoined {
		return
	}
	reach := m.ring.Self.Distance(m.ring.Succ.At(n - 1))
	for _, id := range before.Succ.IDs() {
		known := m.table.get(id) != nil || m.dead.byID[id] != nil // no padding
		if known && !m.ring.Succ.Contains(id) && m.ring.Self.Distance(id).Compare(reach) < 0 {
			m.news.stay.departed()
		}
	}
}

// adoptWaiting ends a Rectify that had to find out whether the predecessor
// lives.
func (m *Machine) adoptWaiting() {
	m.hasWaiting = false
	if m.table.get(m.waiting.ID) != nil {
		m.setRing(zave.Rectify(m.ring, m.waiting.ID, false))
	}
}

// tickGraves asks dead members that are due, one a second in a ring at rest. A
// partition does not hide for long from all of its nodes.
func (m *Machine) tickGraves() {
	if m.nextDead.After(m.now) {
		return
	}
	few, pace, most := 1, time.Second, graveMost
	switch {
	case m.crowded():
		pace, most = graveRest, graveLast
	case m.now.Before(m.fastUntil):
		few, pace = 4, m.cfg.Timing.Fast
	}
	due := m.dead.due(m.now, few, most)
	for _, p := range due {
		m.probe(p.ID)
	}
	if len(due) > 0 {
		m.nextDead = m.now.Add(pace)
	}
}

func (m *Machine) heardWithin(id ID, d time.Duration) bool {
	c := m.table.get(id)
	return c != nil && !c.is(suspect) && m.table.age(c, m.now) < d
}

// refuted remembers for a while which hearsay was wrong, so that repeating it
// has no effect.
type refuted struct {
	byID map[ID]time.Time // until when
}

const (
	maxRefuted = 256
	refutedFor = 5 * time.Second
)

func (r *refuted) add(id ID, now time.Time, d time.Duration) {
	if r.byID == nil {
		r.byID = make(map[ID]time.Time)
	}
	if len(r.byID) >= maxRefuted {
		for k, until := range r.byID {
			if !until.After(now) {
				delete(r.byID, k)
			}
		}
		if len(r.byID) >= maxRefuted {
			clear(r.byID)
		}
	}
	r.byID[id] = now.Add(d)
}

func (r *refuted) has(id ID, now time.Time) bool {
	return r.byID[id].After(now)
}
