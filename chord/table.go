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
	byID     map[ID]*contact
	order    members // those that are usable
	rumours  []ID    // heard from one member only, the oldest first
	vouched  []ID    // heard from two and not yet at first hand, likewise
	verified int     // members met at first hand
	pinned   func(ID) bool
	rng      *rand.Rand
	version  uint64 // counts changes of order
	suspects map[ID]bool
	maxAddrs int
}

func newTable(most int, rng *rand.Rand, pinned func(ID) bool) *table {
	return &table{max: most, byID: make(map[ID]*contact), pinned: pinned, rng: rng, maxAddrs: wire.MaxAddrs, suspects: make(map[ID]bool)}
}

func (t *table) get(id ID) *contact { return t.byID[id] }

func (t *table) len() int { return len(t.byID) }

// maxRumours bounds how many members are kept on one other's word.
const maxRumours = 256

// maxVouched bounds how many are kept on two others' word, who may both have it
// from one liar: one state names up to eight, and half of them anew.
func (t *table) maxVouched() int { return 4*zave.MaxSuccessors + 4*t.verified }

// hearsay takes in a peer that the member by named. What the peer itself has
// said about its addresses comes first. It returns nil when the table is full
// and the peer is not pinned.
func (t *table) hearsay(p wire.Peer, by ID) *contact {
	c := t.byID[p.ID]
	if c == nil {
		c = newContact(clonePeer(p))
		c.by = by
		t.rumours = t.forget(append(t.rumours, p.ID), maxRumours, false)
		return t.add(c)
	}
	if !c.vouched && !c.verified && c.by != by {
		c.vouched = true
		t.vouched = t.forget(append(t.vouched, p.ID), t.maxVouched(), true)
		t.settle(c)
	}
	merged, changed := mergeAddrs(c.peer.Addrs, p.Addrs, t.maxAddrs)
	if changed {
		c = t.replace(c, wire.Peer{ID: p.ID, Owner: c.peer.Owner, Addrs: merged})
	}
	return c
}

// firsthand takes in a peer that has called or answered by itself. Addresses
// that it names replace those known.
func (t *table) firsthand(p wire.Peer, now time.Time) *contact {
	c := t.byID[p.ID]
	if c == nil {
		c = newContact(clonePeer(p))
		c.heard = now
		if c = t.add(c); c != nil {
			t.meet(c)
		}
		return c
	}
	if !c.verified || p.Owner != c.peer.Owner || len(p.Addrs) > 0 && !slices.Equal(p.Addrs, c.peer.Addrs) {
		if len(p.Addrs) == 0 {
			p.Addrs = c.peer.Addrs
		}
		c = t.replace(c, clonePeer(p))
	}
	c.heard, c.odd = now, 0
	t.meet(c)
	t.setSuspect(c, false)
	return c
}

// meet notes that a member has been met at first hand.
func (t *table) meet(c *contact) {
	if !c.verified {
		c.verified = true
		t.verified++
		t.settle(c)
	}
}

// forget cuts a list of hearsay, rumours or vouched, to most entries. The oldest
// members on it go, unless something better is known of them by now.
func (t *table) forget(list []ID, most int, vouched bool) []ID {
	for len(list) > most {
		id := list[0]
		list = slices.Delete(list, 0, 1)
		c := t.byID[id]
		if c != nil && !c.verified && c.vouched == vouched && !t.pinned(id) {
			t.remove(id)
		}
	}
	return list
}

// list notes that a member is, or is no longer, a neighbour of this node.
func (t *table) list(id ID, listed bool) {
	if c := t.byID[id]; c != nil && c.listed != listed {
		c.listed = listed
		t.settle(c)
	}
}

// settle puts a member among the usable ones, or takes it out.
func (t *table) settle(c *contact) {
	if c.usable() {
		t.insert(c)
	} else {
		t.take(c)
	}
}

func (t *table) add(c *contact) *contact {
	if len(t.byID) >= t.max && !t.evict() && !t.pinned(c.peer.ID) {
		return nil
	}
	c.listed = t.pinned(c.peer.ID)
	t.byID[c.peer.ID] = c
	t.settle(c)
	return c
}

// evict drops one of a few members drawn at random: hearsay first, then the
// one not heard of for longest. It fails when all of them are pinned.
func (t *table) evict() bool {
	const draws = 8
	var worst *contact
	for range draws {
		if len(t.order) == 0 {
			break
		}
		c := t.order[t.rng.IntN(len(t.order))]
		if t.pinned(c.peer.ID) {
			continue
		}
		if worst == nil || worst.verified && !c.verified || worst.verified == c.verified && c.heard.Before(worst.heard) {
			worst = c
		}
	}
	if worst == nil {
		return false
	}
	t.remove(worst.peer.ID)
	return true
}

func (t *table) remove(id ID) {
	if c := t.byID[id]; c != nil {
		if c.verified {
			t.verified--
		}
		t.take(c)
		delete(t.byID, id)
		delete(t.suspects, id)
	}
}

func (t *table) replace(c *contact, p wire.Peer) *contact {
	next := *c
	next.peer = p
	t.byID[p.ID] = &next
	if i := t.order.search(p.ID); i < len(t.order) && t.order[i] == c {
		t.order[i] = &next
		t.version++
	}
	return &next
}

// setSuspect takes a member out of the look-ups, or lets it in again.
func (t *table) setSuspect(c *contact, suspect bool) {
	if c.suspect == suspect {
		return
	}
	c.suspect = suspect
	if suspect {
		t.suspects[c.peer.ID] = true
	} else {
		delete(t.suspects, c.peer.ID)
	}
	t.settle(c)
}

// suspected returns the suspects in the order of their IDs, a few of them when
// there are many.
func (t *table) suspected() []ID {
	var out []ID
	for id := range t.suspects {
		out = append(out, id)
	}
	slices.SortFunc(out, ID.Compare)
	return out[:min(len(out), maxProbes)]
}

func (t *table) insert(c *contact) {
	i := t.order.search(c.peer.ID)
	if i < len(t.order) && t.order[i].peer.ID == c.peer.ID {
		return
	}
	t.order = slices.Insert(t.order, i, c)
	t.version++
}

func (t *table) take(c *contact) {
	if i := t.order.search(c.peer.ID); i < len(t.order) && t.order[i] == c {
		t.order = slices.Delete(t.order, i, i+1)
		t.version++
	}
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
