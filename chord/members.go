package chord

import (
	"encoding/binary"
	"slices"
)

// chunkSize is how many contacts stand together. A snapshot shares the chunks;
// whoever changes one afterwards copies that one first, 2.5 KiB.
const chunkSize = 128

type chunk struct {
	epoch uint64 // of members when the chunk was made: an older one is shared
	n     int
	keys  [chunkSize]uint32 // the first four bytes of the IDs, so that a search touches few members
	c     [chunkSize]contact
}

func keyOf(id ID) uint32 { return binary.BigEndian.Uint32(id[:4]) }

// search returns the place of the first contact whose ID is not below id. IDs are
// hashes: where one stands can be guessed so well that the way from there is shorter
// than halving, and it touches less memory.
func (c *chunk) search(id ID) int {
	if c.n == 0 {
		return 0
	}
	key, at := keyOf(id), 0
	if first, last := c.keys[0], c.keys[c.n-1]; key > last {
		at = c.n
	} else if key > first {
		at = int(uint64(key-first) * uint64(c.n-1) / uint64(last-first))
	}
	for at < c.n && c.below(at, key, id) {
		at++
	}
	for at > 0 && !c.below(at-1, key, id) {
		at--
	}
	return at
}

// below reports whether the contact at a place has an ID below id, whose key is given.
func (c *chunk) below(at int, key uint32, id ID) bool {
	k := c.keys[at]
	return k < key || k == key && c.c[at].who.ID.Compare(id) < 0
}

// append puts a contact at the end of a chunk that is not full.
func (c *chunk) append(add contact) {
	c.c[c.n], c.keys[c.n] = add, keyOf(add.who.ID)
	c.n++
}

// slot is a chunk with its first ID, so that a search touches few members.
type slot struct {
	first ID
	chunk *chunk
}

// members is a list of contacts in the order of their IDs. Searching it takes
// no memory. The zero value is an empty list.
type members struct {
	slots  []slot
	n      int
	epoch  uint64
	shared bool // slots belong to a snapshot, too
}

// place is where a contact stands; the end of the list is place{len(slots), 0}.
type place struct{ slot, at int }

func (m *members) len() int { return m.n }

// snapshot returns the list as it is now, which stays so.
func (m *members) snapshot() members {
	m.epoch++
	m.shared = true
	return members{slots: m.slots, n: m.n}
}

// slotAfter returns the first slot whose first ID is above id. It begins where that
// would be if chunks were equally full.
func (m *members) slotAfter(id ID) int {
	at := int(uint64(keyOf(id)) * uint64(len(m.slots)) >> 32)
	for at < len(m.slots) && m.slots[at].first.Compare(id) <= 0 {
		at++
	}
	for at > 0 && m.slots[at-1].first.Compare(id) > 0 {
		at--
	}
	return at
}

// search returns the place of the first member whose ID is not below id.
func (m *members) search(id ID) place {
	k := m.slotAfter(id)
	if k == 0 {
		return place{}
	}
	c := m.slots[k-1].chunk
	at := c.search(id)
	if at == c.n {
		return place{k, 0}
	}
	return place{k - 1, at}
}

// get returns the contact at a place, or nil at the end. It is for reading.
func (m *members) get(p place) *contact {
	if p.slot >= len(m.slots) {
		return nil
	}
	return &m.slots[p.slot].chunk.c[p.at]
}

// next returns the place after p, the first one after the last.
func (m *members) next(p place) place {
	if p.at++; p.slot >= len(m.slots) || p.at >= m.slots[p.slot].chunk.n {
		p = place{p.slot + 1, 0}
	}
	if p.slot >= len(m.slots) {
		return place{}
	}
	return p
}

// prev returns the place before p, the last one before the first.
func (m *members) prev(p place) place {
	if p.at > 0 {
		return place{p.slot, p.at - 1}
	}
	if p.slot == 0 {
		p.slot = len(m.slots)
	}
	return place{p.slot - 1, m.slots[p.slot-1].chunk.n - 1}
}

// wrap makes the end of the list its start.
func (m *members) wrap(p place) place {
	if p.slot >= len(m.slots) {
		return place{}
	}
	return p
}

// at returns the i-th contact, for reading.
func (m *members) at(i int) *contact {
	for k := range m.slots {
		c := m.slots[k].chunk
		if i < c.n {
			return &c.c[i]
		}
		i -= c.n
	}
	return nil
}

// index returns how many contacts stand before p.
func (m *members) index(p place) int {
	n := p.at
	for k := range min(p.slot, len(m.slots)) {
		n += m.slots[k].chunk.n
	}
	return n
}

// find returns the member with this ID, for reading, or nil.
func (m *members) find(id ID) *contact {
	if c := m.get(m.search(id)); c != nil && c.who.ID == id {
		return c
	}
	return nil
}

// edit returns the member with this ID, for changing, or nil.
func (m *members) edit(id ID) *contact {
	p := m.search(id)
	if c := m.get(p); c == nil || c.who.ID != id {
		return nil
	}
	return &m.own(p.slot).c[p.at]
}

// own returns a chunk that no snapshot shares.
func (m *members) own(i int) *chunk {
	c := m.slots[i].chunk
	if c.epoch == m.epoch {
		return c
	}
	next := *c
	next.epoch = m.epoch
	m.ownSlots()
	m.slots[i].chunk = &next
	return &next
}

func (m *members) ownSlots() {
	if m.shared {
		m.slots, m.shared = slices.Clone(m.slots), false
	}
}

// insert adds a contact whose ID is not in the list.
func (m *members) insert(c contact) {
	m.n++
	if len(m.slots) == 0 {
		m.ownSlots()
		ch := &chunk{epoch: m.epoch}
		ch.append(c)
		m.slots = append(m.slots, slot{c.who.ID, ch})
		return
	}
	k := max(m.slotAfter(c.who.ID)-1, 0)
	if m.slots[k].chunk.n == chunkSize {
		if m.split(k); m.slots[k+1].first.Compare(c.who.ID) < 0 {
			k++
		}
	}
	ch := m.own(k)
	at := ch.search(c.who.ID)
	copy(ch.c[at+1:ch.n+1], ch.c[at:ch.n])
	copy(ch.keys[at+1:ch.n+1], ch.keys[at:ch.n])
	ch.c[at], ch.keys[at] = c, keyOf(c.who.ID)
	ch.n++
	if at == 0 {
		m.ownSlots()
		m.slots[k].first = c.who.ID
	}
}

// split makes two of a full chunk.
func (m *members) split(k int) {
	low, high := m.own(k), &chunk{epoch: m.epoch}
	high.n = copy(high.c[:], low.c[chunkSize/2:])
	copy(high.keys[:], low.keys[chunkSize/2:])
	low.n = chunkSize / 2
	clear(low.c[low.n:])
	m.ownSlots()
	m.slots = slices.Insert(m.slots, k+1, slot{high.c[0].who.ID, high})
}

// remove takes out the member with this ID, if it is there. Neighbouring chunks
// that have become small become one.
func (m *members) remove(id ID) bool {
	p := m.search(id)
	if c := m.get(p); c == nil || c.who.ID != id {
		return false
	}
	m.n--
	ch := m.own(p.slot)
	copy(ch.c[p.at:ch.n], ch.c[p.at+1:ch.n])
	copy(ch.keys[p.at:ch.n], ch.keys[p.at+1:ch.n])
	ch.n--
	ch.c[ch.n] = contact{}
	m.ownSlots()
	if ch.n == 0 {
		m.slots = slices.Delete(m.slots, p.slot, p.slot+1)
		return true
	}
	m.slots[p.slot].first = ch.c[0].who.ID
	if k := p.slot + 1; k < len(m.slots) && ch.n+m.slots[k].chunk.n <= chunkSize*3/4 {
		copy(ch.keys[ch.n:], m.slots[k].chunk.keys[:m.slots[k].chunk.n])
		ch.n += copy(ch.c[ch.n:], m.slots[k].chunk.c[:m.slots[k].chunk.n])
		m.slots = slices.Delete(m.slots, k, k+1)
	}
	return true
}

// before appends to dst the k members that precede target most closely and lie
// strictly between self and target, closest first.
func (m *members) before(self, target ID, k int, dst []*contact) []*contact {
	if m.n == 0 {
		return dst
	}
	p := m.search(target)
	for range min(k, m.n) {
		p = m.prev(p)
		c := m.get(p)
		if !between(self, c.who.ID, target) {
			break
		}
		dst = append(dst, c)
	}
	return dst
}

// after appends to dst the first k members at target or clockwise of it.
func (m *members) after(target ID, k int, dst []*contact) []*contact {
	if m.n == 0 {
		return dst
	}
	p := m.wrap(m.search(target))
	for range min(k, m.n) {
		dst = append(dst, m.get(p))
		p = m.next(p)
	}
	return dst
}

// rank returns how many members lie in [pos, self).
func (m *members) rank(pos, self ID) int {
	i, j := m.index(m.search(pos)), m.index(m.search(self))
	if pos.Compare(self) <= 0 {
		return j - i
	}
	return m.n - i + j
}
