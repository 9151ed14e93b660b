package chord

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/secp2psip/secp2psip/chord/zave"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// ID is a place on the ring.
type ID = zave.ID

func between(a, b, c ID) bool { return zave.Between(a, b, c) }

// MaxMembers bounds the table of known members. Up to that many nodes it holds
// the whole ring, and a look-up takes one hop.
const MaxMembers = 8192

// table holds the members that a node knows. It is an optimisation; only the
// neighbours in it, which are pinned, matter to the ring.
type table struct {
	max      int
	order    members         // those that are usable
	aside    map[ID]*contact // those that are not, or not yet
	rumours  []rumour        // heard from one member only, the oldest first
	vouched  []ID            // heard from two and not yet at first hand, likewise
	verified int             // members met at first hand
	pinned   func(ID) bool
	rng      *rand.Rand
	version  uint64 // counts changes of order
	maxAddrs int
	origin   time.Time // of stamps
	secret   uint64    // of rank; 0 = not drawn yet
	top      top
	unranked bool // ranks are drawn anew each time: for tests of what ranks are for
	signed   bool // members sign for themselves: what others say of them makes nobody usable
	refuse   func(reason string)
	near     func(ID) bool // it may be a neighbour

	diversity diversity
}

// rumour is a member that one other has named.
type rumour struct{ id, by ID }

func newTable(most int, rng *rand.Rand, pinned func(ID) bool) *table {
	return &table{
		max: most, aside: make(map[ID]*contact), pinned: pinned, rng: rng, maxAddrs: wire.MaxAddrs,
		refuse: func(string) {}, near: func(ID) bool { return false },
	}
}

// get returns what is known of a member, for reading until the table changes, or
// nil.
func (t *table) get(id ID) *contact {
	if c := t.order.find(id); c != nil {
		return c
	}
	return t.aside[id]
}

// edit is get for changing. What makes a member usable or not is changed by
// mark.
func (t *table) edit(id ID) *contact {
	if c := t.order.edit(id); c != nil {
		return c
	}
	return t.aside[id]
}

func (t *table) len() int { return t.order.len() + len(t.aside) }

// stamp returns a time as contacts keep it, never 0.
func (t *table) stamp(now time.Time) stamp {
	if t.origin.IsZero() {
		t.origin = now.Add(-time.Hour)
	}
	return stamp(max(0, now.Sub(t.origin))/stampUnit) + 1
}

// age returns how long ago a member was heard of at first hand, or a very long
// time.
func (t *table) age(c *contact, now time.Time) time.Duration {
	if c.heard == 0 {
		return 1 << 62
	}
	return max(0, now.Sub(t.origin.Add(time.Duration(c.heard-1)*stampUnit)))
}

// maxRumours bounds how many members are kept on one other's word; in a small
// table, it is one place of rumourShare.
const (
	maxRumours  = 256
	rumourShare = 4
)

// maxVouched bounds how many are kept on two others' word, who may both have it
// from one liar: one state names up to eight, and half of them anew.
func (t *table) maxVouched() int { return 4*zave.MaxSuccessors + 4*t.verified }

// hearsay takes in a peer that the member by named. What the peer itself has
// said about its addresses comes first. It returns false when the table is full
// and the peer is not pinned.
func (t *table) hearsay(p wire.Peer, by ID) bool {
	c := t.get(p.ID)
	if c == nil {
		for len(t.rumours) >= min(maxRumours, t.max/rumourShare) {
			t.forget(t.rumours[0].id, false)
			t.rumours = slices.Delete(t.rumours, 0, 1)
		}
		if !t.add(contact{who: &Member{Peer: clonePeer(p)}}) {
			return false
		}
		t.rumours = append(t.rumours, rumour{p.ID, by}) // now, so that add makes room by another
		return true
	}
	if !t.signed && !c.is(vouched|verified) && t.heardFrom(p.ID) != by {
		t.vouched = append(t.vouched, p.ID)
		for len(t.vouched) > t.maxVouched() {
			t.forget(t.vouched[0], true)
			t.vouched = slices.Delete(t.vouched, 0, 1)
		}
		t.mark(p.ID, vouched, true)
		c = t.get(p.ID)
	}
	if c == nil || c.is(described) {
		return c != nil // it has said itself where it is
	}
	if merged, changed := mergeAddrs(c.who.Addrs, p.Addrs, t.maxAddrs); changed {
		t.replace(p.ID, &Member{Peer: wire.Peer{ID: p.ID, Owner: c.who.Owner, Addrs: merged}})
	}
	return true
}

// heardFrom returns who named a member first.
func (t *table) heardFrom(id ID) ID {
	for i := range t.rumours {
		if t.rumours[i].id == id {
			return t.rumours[i].by
		}
	}
	return ID{}
}

// forget drops hearsay, rumours or vouched, unless something better is known of
// it by now.
func (t *table) forget(id ID, isVouched bool) {
	c := t.get(id)
	if c != nil && !c.is(verified|described) && c.is(vouched) == isVouched && !t.pinned(id) {
		t.remove(id)
	}
}

// firsthand takes in a peer that has called or answered by itself. Addresses
// that it names replace those known. It returns false when the table is full.
func (t *table) firsthand(p wire.Peer, now time.Time) bool {
	c := t.get(p.ID)
	if c == nil {
		if !t.add(contact{who: &Member{Peer: clonePeer(p)}, heard: t.stamp(now)}) {
			return false
		}
	} else if !t.says(c, p) {
		if len(p.Addrs) == 0 {
			p.Addrs = c.who.Addrs
		}
		t.replace(p.ID, &Member{Peer: clonePeer(p), Desc: c.who.Desc})
	}
	t.met(p.ID, now)
	return true
}

// says reports whether nothing is new in what a member says about itself.
func (t *table) says(c *contact, p wire.Peer) bool {
	if p.Owner != c.who.Owner {
		return false
	}
	return len(p.Addrs) == 0 || slices.Equal(p.Addrs, c.who.Addrs) ||
		c.is(described) && slices.Equal(wire.FitAddrs(p.Addrs), c.who.Addrs)
}

// met notes a sign of life at first hand.
func (t *table) met(id ID, now time.Time) {
	if c := t.edit(id); c != nil {
		t.greet(c, now)
	}
}

// greet is met for a contact that edit has returned, which is not to be used
// afterwards.
func (t *table) greet(c *contact, now time.Time) {
	id := c.id()
	c.heard = t.stamp(now)
	c.setOdd(0)
	wasSuspect := c.is(suspect)
	if !c.is(verified) {
		t.verified++
		t.mark(id, verified, true)
	}
	if wasSuspect {
		t.mark(id, suspect, false)
	}
}

// learn takes in a member whose signed descriptor has been verified.
func (t *table) learn(who *Member) bool {
	c := t.get(who.ID)
	if c == nil {
		return t.makeWay(who.ID) && t.add(contact{who: who, flags: described})
	}
	t.replace(who.ID, who)
	t.mark(who.ID, described, true)
	return t.get(who.ID) != nil
}

// mark sets or clears a mark, and puts a member among the usable ones or takes
// it out as that makes it.
func (t *table) mark(id ID, mark uint8, on bool) {
	c := t.aside[id]
	if c == nil {
		if c = t.order.find(id); c == nil || c.is(mark) == on {
			return
		}
		c = t.order.edit(id)
		spoke := c.is(verified | described)
		if c.set(mark, on); c.is(verified|described) != spoke {
			t.top.known = false // its weight is another
		}
		if !c.usable() {
			out := *c
			t.take(id)
			t.aside[id] = &out
		}
		return
	}
	if c.set(mark, on); c.usable() {
		delete(t.aside, id)
		if t.fits(c) {
			t.put(*c)
		} else if c.is(verified) {
			t.verified--
		}
	}
}

// list notes that a member is, or is no longer, a neighbour of this node. One that
// was passed by as long as it was a neighbour, when other rumours were forgotten,
// goes then: else whoever names ghosts as neighbours fills the table with them.
func (t *table) list(id ID, isListed bool) {
	t.mark(id, listed, isListed)
	if c := t.aside[id]; c != nil && !isListed && !c.is(verified|described|vouched|suspect) && t.heardFrom(id) == (ID{}) {
		t.remove(id)
	}
}

func (t *table) add(c contact) bool {
	id := c.id()
	if t.len() >= t.max && !t.evict() && !t.pinned(id) {
		return false
	}
	c.set(listed, t.pinned(id))
	if c.usable() {
		if !t.fits(&c) {
			return false
		}
		t.put(c)
	} else {
		out := c
		t.aside[id] = &out
	}
	return true
}

// evict makes room: the oldest rumour goes, or else hearsay, or else the member of
// the highest rank. It fails when all of them are pinned.
func (t *table) evict() bool {
	for len(t.rumours) > 0 {
		before := t.len()
		t.forget(t.rumours[0].id, false)
		if t.rumours = slices.Delete(t.rumours, 0, 1); t.len() < before {
			return true
		}
	}
	worst := t.worst()
	if worst == nil {
		return false
	}
	t.remove(worst.id())
	return true
}

func (t *table) remove(id ID) {
	c := t.get(id)
	if c == nil {
		return
	}
	if c.is(verified) {
		t.verified--
	}
	t.take(id)
	delete(t.aside, id)
}

func (t *table) replace(id ID, who *Member) {
	c := t.edit(id)
	if c == nil || c.who == who {
		return
	}
	if t.aside[id] != nil || c.who.Owner == who.Owner && slices.Equal(c.who.Addrs, who.Addrs) {
		c.who = who
		t.version++
		return
	}
	next := *c
	next.who = who
	if t.take(id); t.fits(&next) {
		t.put(next)
	} else if next.is(verified) {
		t.verified--
	}
}

// suspected returns the suspects in the order of their IDs, a few of them when
// there are many.
func (t *table) suspected() []ID {
	var out []ID
	for id, c := range t.aside {
		if c.is(suspect) {
			out = append(out, id)
		}
	}
	slices.SortFunc(out, ID.Compare)
	return out[:min(len(out), maxProbes)]
}

func clonePeer(p wire.Peer) wire.Peer {
	p.Addrs = slices.Clone(p.Addrs[:min(len(p.Addrs), wire.MaxAddrs)])
	return p
}

// mergeAddrs appends what extra has beyond known, up to limit addresses.
func mergeAddrs(known, extra []netip.AddrPort, limit int) (merged []netip.AddrPort, changed bool) {
	merged = known
	for _, a := range extra {
		if len(merged) >= limit {
			break
		}
		if !slices.Contains(merged, a) {
			merged = append(slices.Clip(merged), a)
			changed = true
		}
	}
	return merged, changed
}
