package chord

import (
	"slices"
	"time"

	"github.com/secp2psip/secp2psip/chord/zave"
)

// Settle makes the node a member with a place and a table that are given, as if
// it had been there for long. It is for simulations of rings that are too large
// to form join by join. Members of known may be shared with other machines, and
// are taken for verified; the neighbours must be among them, and come first where
// there are more than the table takes; whole tells that known is everybody, if the
// table takes all of them. known is sorted in place.
func (m *Machine) Settle(now time.Time, place zave.State, known []*Member, whole bool) {
	m.now = now
	m.ring = place
	known = slices.DeleteFunc(known, func(who *Member) bool { return who.ID == place.Self })
	known = known[:min(len(known), m.table.max)]
	slices.SortFunc(known, func(a, b *Member) int { return a.ID.Compare(b.ID) })
	known = slices.CompactFunc(known, func(a, b *Member) bool { return a.ID == b.ID })
	m.setComplete(whole && len(known) < m.table.max)
	m.table.fill(known)
	m.become()
	clear(m.out)
	m.out = m.out[:0]
}

// SettleNews is Settle for what the node would know by then of the coming and
// going: self is what it has signed about itself and told everybody, members stay
// for so long in the mean, and nothing in the table is new to others. renew is
// when it tells of itself again.
func (m *Machine) SettleNews(self *Member, stay time.Duration, renew time.Time) {
	n := &m.news
	n.self, n.seq, n.again = self, self.seq(), renew
	n.snap.parts, n.snap.first, n.snap.done = nil, false, true
	n.inSync = inSyncEnough
	n.stay.guess(stay, mostLeft/2)
	n.stay.at = m.now
	m.due = m.deadline()
}

// fill makes an empty table one of the given members, which are in order.
func (t *table) fill(known []*Member) {
	const load = chunkSize * 3 / 4 // leaves room for a few more
	for len(known) > 0 {
		ch := &chunk{epoch: t.order.epoch}
		for _, who := range known[:min(load, len(known))] {
			c := contact{who: who, flags: described}
			c.set(listed, t.pinned(who.ID))
			ch.append(c)
		}
		t.order.slots = append(t.order.slots, slot{ch.c[0].who.ID, ch})
		t.order.n += ch.n
		known = known[ch.n:]
	}
	t.diversity.late = true
	t.version++
}
