package chord

import (
	"slices"
	"time"

	"github.com/secp2psip/secp2psip/chord/zave"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// explore fills the table of members, which makes look-ups short. Nothing else
// depends on it.
//
//   - A walk asks one member after the other round the ring, each in the middle
//     of the list that the one before named, so that everybody is named by two.
//     When it comes round, the table is complete.
//   - Where the ring is too large to walk, fingers are looked up one by one:
//     the members responsible for self + 2^i.
//   - Now and then somebody is asked who follows this node. Rings that do not
//     know of one another find out that way, once one of them knows a member
//     of the other.
type explore struct {
	next     time.Time
	every    time.Duration
	walking  bool
	at       ID // the member being asked
	steps    int
	learned  int  // members heard of since the walk began
	complete bool // the last walk came round
	turn     int

	finding bool
	target  ID
	self    bool // the look-up is the self-check
	hops    int
	bit     int
	fingers map[ID]bool
}

const (
	exploreFirst = 300 * time.Millisecond
	exploreMost  = time.Minute
	walkSteps    = 128 // a walk passes up to 64·r members
	exploreLarge = 5 * time.Minute
	walkCrowd    = 16 // members beyond which descriptors fill the table and nobody walks
	findHops     = 24
	idBits       = 128
)

// hurry lets the next walk begin soon: the neighbourhood has changed.
func (e *explore) hurry(now time.Time, t Timing) {
	e.every = max(exploreFirst, t.Fast)
	if soon := now.Add(e.every); e.next.IsZero() || e.next.After(soon) {
		e.next = soon
	}
}

func (m *Machine) tickExplore() {
	e := &m.explore
	if e.next.After(m.now) {
		return
	}
	most := exploreMost
	if m.large() {
		most = exploreLarge
	}
	e.every = min(2*max(e.every, exploreFirst), most)
	e.next = m.now.Add(m.jitter(e.every))
	if m.ring.Succ.Len() == 0 {
		m.walkDone(true)
		return
	}
	e.turn++
	if m.large() {
		e.walking = false
		if m.news.thin && e.turn%2 == 0 {
			m.findFinger()
		} else {
			m.selfCheck()
		}
		return
	}
	if !e.walking || e.turn%4 == 0 {
		m.startWalk()
	}
	if e.finding && e.turn%4 != 0 {
		return
	}
	if !m.ring.Small() && e.turn%2 == 0 {
		m.selfCheck()
	} else if !e.complete {
		m.findFinger()
	} else {
		m.refresh()
	}
}

// large reports whether the table is filled by what descriptors say rather than
// by walks.
func (m *Machine) large() bool {
	return m.gossips() && (m.table.order.len() > walkCrowd || m.news.snap.known > walkCrowd || m.crowd() > 4*walkCrowd)
}

// refresh asks the member of which nothing was heard for longest, among a few.
func (m *Machine) refresh() {
	const draws = 4
	var oldest *contact
	for range draws {
		if n := m.table.order.len(); n > 0 {
			if c := m.table.order.at(m.rng.IntN(n)); oldest == nil || c.heard < oldest.heard { // hearsay first
				oldest = c
			}
		}
	}
	if oldest != nil && m.table.age(oldest, m.now) > m.cfg.Timing.Slow {
		m.probe(oldest.id())
	}
}

func (m *Machine) startWalk() {
	e := &m.explore
	e.walking, e.steps, e.learned = true, 0, 0
	if m.ring.Small() {
		m.walkDone(true) // everybody is asked anyway
		return
	}
	e.at = m.ring.Self
	for _, id := range m.ring.Succ.IDs() {
		if c := m.table.get(id); c != nil && !c.is(suspect) {
			e.at = id
		}
	}
	m.walkOn()
}

func (m *Machine) walkOn() {
	c := m.table.get(m.explore.at)
	if c == nil || !m.call(callWalk, c.peer(), &wire.GetState{}) {
		m.walkDone(false)
	}
}

func (m *Machine) walked(c *call, s *wire.State, how answer) {
	e := &m.explore
	if !e.walking || c.peer.ID != e.at {
		return
	}
	if how != answered {
		m.suspected(c.peer.ID)
		m.walkDone(false)
		return
	}
	e.steps++
	m.doubt(s)
	// Half a list on, so that each member is named by two.
	at := e.at
	for k, p := range s.Succ[:min(len(s.Succ), zave.MaxSuccessors)] {
		if !between(at, p.ID, m.ring.Self) {
			if at == e.at || k < zave.MaxSuccessors/2 {
				m.walkDone(true)
				return
			}
			break
		}
		if c := m.table.get(p.ID); c != nil && !c.is(suspect) && (at == e.at || k < zave.MaxSuccessors/2) {
			at = p.ID
		}
	}
	if at == e.at || e.steps >= walkSteps {
		m.walkDone(false)
		return
	}
	e.at = at
	m.walkOn()
}

// doubt asks members of the table that a list passes over: they may have died,
// or the list may not have caught up with them yet.
func (m *Machine) doubt(s *wire.State) {
	list := s.Succ[:min(len(s.Succ), zave.MaxSuccessors)]
	if len(list) == 0 {
		return
	}
	const few = 4
	last := list[len(list)-1].ID
	asked := 0
	at := m.table.order.wrap(m.table.order.search(succOf(s.Self.ID)))
	for range m.table.order.len() {
		id := m.table.order.get(at).id()
		at = m.table.order.next(at)
		if asked >= few || !between(s.Self.ID, id, last) {
			break
		}
		named := slices.ContainsFunc(list, func(p wire.Peer) bool { return p.ID == id })
		if !named && m.probe(id) {
			asked++
		}
	}
}

func (m *Machine) walkDone(complete bool) {
	e := &m.explore
	e.walking = false
	complete = complete && e.learned == 0
	if e.complete != complete {
		e.complete = complete
		m.version++
	}
	if e.learned > 0 && m.table.len() < m.table.max {
		e.every = exploreFirst // there may be more to learn, and there is room
	}
}

// selfCheck asks any member who follows this node. An answer that lies before
// the head of the list is a candidate.
func (m *Machine) selfCheck() {
	if n := m.table.order.len(); n > 0 {
		m.findFrom(m.table.order.at(m.rng.IntN(n)), succOf(m.ring.Self), true)
	}
}

// findFinger looks up the next finger beyond the successor list.
func (m *Machine) findFinger() {
	e := &m.explore
	reach := m.ring.Self.Distance(m.ring.Succ.At(m.ring.Succ.Len() - 1))
	for range idBits {
		e.bit = (e.bit + idBits - 1) % idBits
		if d := bitID(e.bit); d.Compare(reach) > 0 {
			target := m.ring.Self.Add(d)
			var buf [1]*contact
			if near := m.table.order.before(m.ring.Self, target, 1, buf[:0]); len(near) > 0 {
				m.findFrom(near[0], target, false)
			}
			return
		}
	}
}

func (m *Machine) findFrom(c *contact, target ID, self bool) {
	e := &m.explore
	e.finding, e.target, e.self, e.hops = true, target, self, 0
	m.findAsk(c.peer())
}

func (m *Machine) findAsk(p wire.Peer) {
	e := &m.explore
	if e.hops++; e.hops > findHops || !m.call(callFind, p, &wire.Find{Target: e.target}) {
		e.finding = false
	}
}

func (m *Machine) foundNext(c *call, f *wire.Found, how answer) {
	e := &m.explore
	if find, ok := c.msg.(*wire.Find); !e.finding || !ok || find.Target != e.target {
		return
	}
	if how != answered {
		m.suspected(c.peer.ID)
		e.finding = false
		return
	}
	for _, p := range f.Peers[:min(len(f.Peers), nextHops)] {
		m.hear(p, c.peer.ID) // asks p where it belongs before the head
		if !f.Done && between(c.peer.ID, p.ID, e.target) && p.ID != m.ring.Self {
			m.findAsk(p)
			return
		}
		if f.Done && !e.self {
			m.pinFinger(p.ID)
			break
		}
	}
	e.finding = false
}

// pinFinger keeps a finger in the table. Fingers of former neighbourhoods go
// when there are too many.
func (m *Machine) pinFinger(id ID) {
	e := &m.explore
	if m.table.get(id) == nil {
		return
	}
	if e.fingers == nil || len(e.fingers) >= idBits {
		e.fingers = make(map[ID]bool)
	}
	e.fingers[id] = true
	if !m.table.get(id).is(verified) {
		m.probe(id)
	}
}

// succOf returns the ID just past id, which the node that follows id is
// responsible for.
func succOf(id ID) ID { return id.Add(bitID(0)) }

// bitID returns 2^i.
func bitID(i int) ID {
	var id ID
	id[len(id)-1-i/8] = 1 << (i % 8)
	return id
}
