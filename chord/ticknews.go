package chord

import (
	"crypto/sha256"
	"time"

	"github.com/secp2psip/secp2psip/internal/wire"
)

// The pace of what looks after news.
const (
	adaptEvery = 10 * time.Second
	meetEvery  = 4 * time.Second  // members of the list that have not said a word themselves
	adaptFirst = 30 * time.Second // what comes while a ring forms says little
	sweepLeast = 5 * time.Second
	announceBy = 2 * time.Second
	sweepMost  = time.Hour
	rumourFor  = 2 * time.Minute // members without a descriptor, unless they are heard of
)

// spreadHash is where the part of the circle begins that news of a member go to:
// a place that nobody has chosen.
func spreadHash(id ID) ID {
	sum := sha256.Sum256(append([]byte("spread"), id[:]...))
	return ID(sum[:len(id)])
}

func newNews() news {
	return news{
		told: make(map[ID]*telling), doubts: make(map[ID]*doubt), buckets: make(map[ID]*bucket), share: fullShare,
	}
}

// startNews begins to take part: a new member tells of itself and asks for a
// table.
func (m *Machine) startNews() {
	if !m.gossips() {
		return
	}
	m.news.stay.watch(m.now, 0)
	m.news.adapt = m.now.Add(m.jitter(adaptFirst))
	m.news.meet = m.now.Add(m.jitter(meetEvery))
	m.news.compare = m.now.Add(m.jitter(compareEvery))
	m.news.sweep = m.now.Add(m.jitter(sweepLeast))
	if m.ring.Succ.Len() > 0 {
		m.news.again = m.now.Add(announceBy) // sooner when the neighbours have said how far and for how long
		m.startSnapshot()
	} else {
		m.news.snap.done = true
		m.announce()
	}
}

// tickNews does whatever is due of it.
func (m *Machine) tickNews() {
	if !m.gossips() {
		return
	}
	n := &m.news
	if !n.again.After(m.now) {
		m.announce()
	}
	m.tickSnapshot()
	m.tickCompare()
	if !n.meet.After(m.now) {
		if n.meet = m.now.Add(m.jitter(adaptEvery)); m.meetListed() {
			n.meet = m.now.Add(m.jitter(meetEvery))
		}
	}
	if len(n.pending) > 0 {
		m.askCertificates()
	}
	if len(n.doubts) > 0 {
		m.tickDoubts()
	}
	if !n.adapt.After(m.now) {
		n.adapt = m.now.Add(m.jitter(adaptEvery))
		m.adaptNews()
		m.table.trim()
	}
	if !n.sweep.After(m.now) {
		m.sweepNews()
		n.sweep = m.now.Add(m.jitter(min(max(m.lifetime()/8, sweepLeast), sweepMost)))
	}
	if !n.flushAt.IsZero() && !n.flushAt.After(m.now) {
		m.flush()
	}
}

// newsDeadline is when tickNews has something to do at the latest.
func (m *Machine) newsDeadline(sooner func(time.Time)) {
	if !m.gossips() {
		return
	}
	n := &m.news
	sooner(n.again)
	sooner(n.meet)
	sooner(n.compare)
	sooner(n.adapt)
	sooner(n.sweep)
	sooner(n.flushAt)
	if !n.snap.done && len(n.snap.parts) > 0 {
		sooner(n.snap.next)
	}
	if len(n.pending) > 0 {
		sooner(n.pending[0].at.Add(pendingFor + 1))
		for i := range n.pending {
			if !n.pending[i].asked {
				sooner(m.now)
				break
			}
		}
	}
	for _, d := range n.doubts {
		sooner(d.due)
		sooner(d.since.Add(doubtFor + 1))
	}
}

// meetListed asks the successors that another has named and that have not said a
// word themselves by now: a neighbour may have made them up. It reports whether
// there are any.
func (m *Machine) meetListed() (some bool) {
	for _, id := range m.ring.Succ.IDs() {
		if c := m.table.get(id); c != nil && !c.is(verified|described) {
			m.probe(id)
			some = true
		}
	}
	return some
}

// adaptNews keeps what news cost within the budget: by the share of the circle
// that this node tells of itself. All do the same, so what a node gets falls as
// what it sends does.
func (m *Machine) adaptNews() {
	n := &m.news
	n.stay.watch(m.now, m.ring.Succ.Len()+1)
	rate, budget := m.newsRate(), m.newsBudget()
	_, sent := n.spending.rates(m.now)
	_, got := n.received.rates(m.now)
	switch most := (sent + got) / 2; {
	case m.lasting() < 0.3*budget: // a rush of newcomers, which is over soon
		n.share = fullShare
	case rate > budget:
		n.share = int(float64(n.share) * max(0.5, budget/rate))
	case most < 0.7*budget:
		n.share += n.share/5 + 1
	}
	n.share = min(max(n.share, leastShare), fullShare)
	thin := n.share < fullShare*3/4 || n.thin && n.share < fullShare
	if thin != n.thin {
		n.thin = thin
		n.inSync = 0
		m.setComplete(false)
		again := m.now.Add(time.Duration(m.rng.Int64N(int64(time.Minute))))
		if thin {
			again = m.now.Add(m.jitter(m.lifetime() * 3 / 4))
		} else if m.ring.Succ.Len() > 0 {
			m.startSnapshot() // there is room for everybody again
		}
		if n.again.After(again) {
			n.again = again
		}
	}
}

// sweepNews drops members of which nothing was heard for as long as they said
// that they would be heard of, and rumours that nobody has confirmed.
func (m *Machine) sweepNews() {
	now := m.overlayNow()
	var drop []ID
	for _, s := range m.table.order.slots {
		for i := range s.chunk.n {
			if c := &s.chunk.c[i]; m.outlived(c, now) && !m.table.pinned(c.id()) {
				drop = append(drop, c.id())
			}
		}
	}
	for _, id := range drop {
		m.table.remove(id)
	}
	for len(m.news.toldIDs) > 0 {
		id := m.news.toldIDs[0]
		if m.now.Sub(m.news.told[id].at) < tellFor {
			break
		}
		delete(m.news.told, id)
		m.news.toldIDs = m.news.toldIDs[1:]
	}
}

func (m *Machine) outlived(c *contact, now int64) bool {
	d := c.who.Desc
	if d == nil {
		return c.heard == 0 || m.table.age(c, m.now) > rumourFor
	}
	life := time.Duration(d.Lifetime) * time.Second
	if most := 2 * m.lifetime(); m.news.thin && life > most { // it was signed in calmer times
		life = most
	}
	return outlives(d.Seq, life, now, 0) && (c.heard == 0 || m.table.age(c, m.now) > life)
}

// sayGoodbye tells the head, which passes it on, that this node leaves.
func (m *Machine) sayGoodbye() {
	if !m.gossips() || m.ring.Succ.Len() == 0 {
		return
	}
	m.flush()
	who := m.describe(wire.NodeLeaving, tellFor)
	if who == nil {
		return
	}
	head := m.ring.Head()
	group := wire.News{From: head, Until: m.ring.Self, Descs: []wire.Descriptor{*who.Desc}}
	if m.news.share < fullShare {
		group.From = spreadHash(who.ID)
		group.Until = group.From.Add(scale(m.news.share))
	}
	m.callPeer(callLeave, head, &wire.Gossip{Groups: []wire.News{group}})
}
