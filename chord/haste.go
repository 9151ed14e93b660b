package chord

import (
	"time"

	"github.com/secp2psip/secp2psip/chord/zave"
)

// smallCrowd is how many members a node knows where it hurries every change on.
const smallCrowd = 128

// The pace of a large ring that has no time for everything.
const (
	sessionRounds = 40              // stabilisations in the mean time that a member stays, within Every and Slow
	graveRest     = 5 * time.Second // between two dead members that are asked
	graveLast     = 5 * time.Minute // between two times that one of them is
)

// crowded reports whether the ring is too large for a node to follow all that
// happens in it.
func (m *Machine) crowded() bool {
	return m.table.order.len() > smallCrowd || m.crowd() > 2*smallCrowd
}

// rounds is the time between two stabilisations soon after a change.
func (m *Machine) rounds() time.Duration {
	t := m.cfg.Timing
	if !m.crowded() {
		return t.Every
	}
	return min(max(m.news.stay.mean()/sessionRounds, t.Every), t.Slow)
}

// hurry makes the node look after its place soon and often for a while.
func (m *Machine) hurry() {
	m.fastUntil = m.now.Add(m.cfg.Timing.FastFor)
	if !m.large() {
		m.explore.hurry(m.now, m.cfg.Timing)
	} else if m.explore.next.IsZero() {
		m.explore.next = m.now.Add(m.jitter(exploreMost))
	}
	if soon := m.now.Add(m.jitter(m.cfg.Timing.Fast) / 2); m.nextStab.After(soon) {
		m.nextStab = soon
	}
}

// interval returns the time to the next stabilisation.
func (m *Machine) interval() time.Duration {
	t := m.cfg.Timing
	switch {
	case m.now.Before(m.fastUntil):
		return m.jitter(max(min(max(t.Fast, 2*m.headTrip())<<min(m.quiet, 4), t.Every), 4*m.lag))
	case m.now.Sub(m.changed) < t.SlowAfter:
		return m.jitter(m.rounds())
	}
	return m.jitter(t.Slow)
}

// headTrip is the round trip to the head, 0 where none has been measured. Who asks
// more often than answers come learns nothing by it, and lets the head pay.
func (m *Machine) headTrip() time.Duration {
	if c := m.table.get(m.ring.Head()); c != nil {
		return c.roundTrip()
	}
	return 0
}

// hasty reports whether a change is to be followed up at once: in a large ring, one
// at the front. A list of eight survives many rounds.
func (m *Machine) hasty(front bool) bool {
	return front || !m.crowded()
}

// firstChange returns the first place in which two lists differ, from 1.
func firstChange(a, b *zave.List) int {
	for i := range min(a.Len(), b.Len()) {
		if a.At(i) != b.At(i) {
			return i + 1
		}
	}
	return min(a.Len(), b.Len()) + 1
}
