package chord

import (
	"time"

	"github.com/secp2psip/secp2psip/chord/zave"
)

// Settle makes the node a member with a place and a table that are given, as if
// it had been there for long. It is for simulations of rings that are too large
// to form join by join. Members of known may be shared with other machines, and
// are taken for verified; the neighbours must be among them.
func (m *Machine) Settle(now time.Time, place zave.State, known []*Member) {
	m.now = now
	m.ring = place
	for _, who := range known {
		if who.ID != m.ring.Self {
			m.table.learn(who)
		}
	}
	m.become()
	clear(m.out)
	m.out = m.out[:0]
}
