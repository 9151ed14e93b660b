package chord

import "github.com/secp2psip/secp2psip/chord/zave"

// The haste of a large ring: changes that it may hurry on, and how many more
// each second.
const (
	hasteMost   = 24
	hastePerSec = 0.02
	smallCrowd  = 128 // members known up to which everything is hurried on
)

// hasty reports whether a change is to be followed up at once.
func (m *Machine) hasty(front bool) bool {
	return front || m.table.order.len() <= smallCrowd && m.crowd() <= 2*smallCrowd || m.haste.take(m.now, 1, hastePerSec, hasteMost)
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
