package chord

import (
	"slices"
	"time"

	"github.com/secp2psip/secp2psip/internal/wire"
)

// maxGraves bounds how many dead members a node keeps asking.
const maxGraves = 64

// A dead member is asked again after a second, then at growing intervals. After
// a day nobody expects it back.
const (
	graveFirst  = time.Second
	graveMost   = time.Minute
	graveExpiry = 24 * time.Hour
)

// grave is a member that died, as far as this node could tell.
type grave struct {
	peer  wire.Peer
	since time.Time
	next  time.Time
	wait  time.Duration
	cut   bool // others name it by the descriptor that it had when it was said to have died
}

// graves are the dead members that a node keeps asking: one that answers may be
// the other half of a ring that a partition has cut.
type graves struct {
	byID map[ID]*grave
	next time.Time // when the first one is due; zero when there is none
}

func newGraves() graves { return graves{byID: make(map[ID]*grave)} }

// bury adds a member, to be asked again after a while; the one that has been
// dead for longest makes room.
func (g *graves) bury(p wire.Peer, now time.Time, again time.Duration) {
	if old := g.byID[p.ID]; old != nil {
		return
	}
	if len(g.byID) >= maxGraves {
		var oldest *grave
		for _, v := range g.byID {
			if oldest == nil || v.since.Before(oldest.since) ||
				v.since.Equal(oldest.since) && v.peer.ID.Compare(oldest.peer.ID) < 0 {
				oldest = v
			}
		}
		delete(g.byID, oldest.peer.ID)
	}
	g.byID[p.ID] = &grave{peer: p, since: now, next: now.Add(again), wait: again}
	g.settle()
}

// raise takes out a member that lives.
func (g *graves) raise(id ID) bool {
	if g.byID[id] == nil {
		return false
	}
	delete(g.byID, id)
	g.settle()
	return true
}

// due returns the members to ask now, the most overdue first, at most k, and
// sets the time when each is asked again, at most so much later.
func (g *graves) due(now time.Time, k int, most time.Duration) []wire.Peer {
	if g.next.IsZero() || g.next.After(now) {
		return nil
	}
	var out []wire.Peer
	for len(out) < k {
		first := g.first()
		if first == nil || first.next.After(now) {
			break
		}
		if now.Sub(first.since) > graveExpiry {
			delete(g.byID, first.peer.ID)
			continue
		}
		first.wait = min(2*first.wait, most)
		first.next = now.Add(first.wait)
		out = append(out, first.peer)
	}
	g.settle()
	return out
}

func (g *graves) settle() {
	g.next = time.Time{}
	if first := g.first(); first != nil {
		g.next = first.next
	}
}

// first returns the grave that is due first, by ID among equals so that a run
// can be repeated.
func (g *graves) first() *grave {
	var first *grave
	for _, v := range g.byID {
		if first == nil || v.next.Before(first.next) ||
			v.next.Equal(first.next) && v.peer.ID.Compare(first.peer.ID) < 0 {
			first = v
		}
	}
	return first
}

// rouse makes every grave due soon, or those that which names where it is not
// nil: one member has come back, so others may.
func (g *graves) rouse(now time.Time, which func(ID) bool) {
	for id, v := range g.byID {
		if which != nil && !which(id) {
			continue
		}
		v.wait = graveFirst
		if soon := now.Add(graveFirst / 4); v.next.After(soon) {
			v.next = soon
		}
	}
	g.settle()
}

// rouseDead has the dead asked soon, since one has come back. Where members come
// and go all the time, that says little about others: only those are that would
// be this node's neighbours.
func (m *Machine) rouseDead() {
	var which func(ID) bool
	if m.crowded() {
		which = func(id ID) bool { return between(m.ring.Pred, id, m.ring.Head()) }
	}
	m.dead.rouse(m.now, which)
}

// Where so many dead members come back within so long, it was not they who had
// gone: a cut has healed.
const (
	manyBack   = 3
	backWithin = time.Minute
)

// mayLive has a member asked that another still knows by the descriptor that it had
// when it was said to have died: there may have been a cut between it and those who
// said so, which has healed.
func (m *Machine) mayLive(d *wire.Descriptor) bool {
	t := m.news.told[d.ID]
	if t == nil || !t.gone || t.seq != d.Seq || d.State != wire.NodeHere {
		return false
	}
	g := m.dead.byID[d.ID]
	if g != nil && g.cut {
		return false
	}
	if _, v := m.cfg.Verifier.Verify(d); v != VerdictValid {
		return false
	}
	if g == nil {
		m.dead.bury(wire.Peer{ID: d.ID, Addrs: d.Addrs}, m.now, graveFirst)
		g = m.dead.byID[d.ID]
	}
	g.cut = true
	if g.next.After(m.now) {
		g.next = m.now
		m.dead.settle()
	}
	return true
}

// reunited follows up that a dead member has come back. After a cut both sides
// have taken the other's members for dead, by news that stand against their
// descriptors: these news are forgotten, the neighbours are asked for their
// tables, and this node tells everybody that it lives.
func (m *Machine) reunited(cut bool) {
	if !m.gossips() || m.phase != PhaseJoined {
		return
	}
	n := &m.news
	if m.now.Sub(n.backAt) > backWithin {
		n.back, n.backAt = 0, m.now
	}
	if cut {
		n.back = max(n.back, manyBack-1)
	}
	if n.back++; n.back != manyBack {
		return
	}
	n.toldIDs = slices.DeleteFunc(n.toldIDs, func(id ID) bool {
		if n.told[id].gone {
			delete(n.told, id)
			return true
		}
		return false
	})
	n.inSync, n.compare = 0, m.now.Add(m.jitter(compareSoon))
	m.setComplete(false)
	if n.snap.done && !n.thin && m.ring.Succ.Len() > 0 {
		m.startSnapshot()
	}
	m.refute()
}
