package chord

import (
	"math"
	"slices"
)

// rank is a number that this node alone gives a member. A full table keeps those
// of the lowest ranks among all members ever offered. So it is a fair sample of
// them, however often some are offered (Bortnikov and others, "Brahms: Byzantine
// resilient random membership sampling", Computer Networks 53, 2009, section 3.2).
func (t *table) rank(key uint32) uint64 {
	for t.secret == 0 {
		t.secret = t.rng.Uint64()
	}
	if t.unranked {
		return t.rng.Uint64()
	}
	x := uint64(key) ^ t.secret // and the finalizer of SplitMix64
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// weight is the rank of a member as one to make room: those that have not spoken
// for themselves are the first.
func (t *table) weight(c *contact, key uint32) uint64 {
	rank := t.rank(key)
	if !c.is(verified | described) {
		return math.MaxUint64
	}
	return rank
}

// top are the usable members to make room next, pinned ones among them: so a full
// table is not looked through for everyone who comes.
type top struct {
	known bool      // they weigh the most of all that there are
	heavy []weighed // the heaviest first, of the same weight the one with the lowest ID
}

type weighed struct {
	weight uint64
	id     ID
}

// topMost is how many of them are found at a time.
const topMost = 32

func (a weighed) before(b weighed) bool {
	return a.weight > b.weight || a.weight == b.weight && a.id.Compare(b.id) < 0
}

// add takes in a member, if it is one of the heaviest.
func (h *top) add(w weighed, most int) {
	n := len(h.heavy)
	if n == most && h.heavy[n-1].before(w) {
		return
	}
	at := n
	for at > 0 && w.before(h.heavy[at-1]) {
		at--
	}
	h.heavy = slices.Insert(h.heavy, at, w)[:min(n+1, most)]
}

// came notes a usable member.
func (t *table) came(c *contact) {
	if t.top.known {
		t.top.add(weighed{t.weight(c, keyOf(c.id())), c.id()}, len(t.top.heavy)) // below the last nothing is known
	}
}

// went notes one that is usable no more.
func (t *table) went(id ID) {
	if !t.top.known {
		return
	}
	if i := slices.IndexFunc(t.top.heavy, func(w weighed) bool { return w.id == id }); i >= 0 {
		t.top.heavy = slices.Delete(t.top.heavy, i, i+1)
		t.top.known = len(t.top.heavy) > 0
	}
}

// worst returns the usable member to make room, nil where all are pinned.
func (t *table) worst() *contact {
	if t.top.known {
		if worst := t.heaviest(); worst != nil {
			return worst
		}
	}
	if worst := t.search(topMost); worst != nil {
		return worst
	}
	return t.search(t.order.len())
}

// search looks through the whole table for the heaviest members, and returns the
// first that is not pinned.
func (t *table) search(most int) *contact {
	h := &t.top
	h.heavy = h.heavy[:0]
	for _, s := range t.order.slots {
		for i := range s.chunk.n {
			c := &s.chunk.c[i]
			if weight := t.weight(c, s.chunk.keys[i]); len(h.heavy) < most || weight >= h.heavy[most-1].weight {
				h.add(weighed{weight, c.id()}, most)
			}
		}
	}
	h.known = len(h.heavy) > 0 && !t.unranked
	return t.heaviest()
}

// heaviest returns the first of the heaviest that is not pinned, nil for none.
func (t *table) heaviest() *contact {
	for _, w := range t.top.heavy {
		if !t.pinned(w.id) {
			return t.order.find(w.id)
		}
	}
	return nil
}

// makeWay makes room in a full table for a member that has said nothing to this
// node itself. It fails when all that are there have lower ranks.
func (t *table) makeWay(id ID) bool {
	if t.len() < t.max || len(t.rumours) > 0 || t.pinned(id) {
		return true // add sees to it
	}
	worst := t.worst()
	if worst == nil || worst.is(verified|described) && t.rank(keyOf(id)) > t.rank(keyOf(worst.id())) {
		return false
	}
	t.remove(worst.id())
	return true
}
