package simnet

import (
	"math/rand/v2"
	"slices"

	"github.com/secp2psip/secp2psip/internal/identity"
)

// PlainChord measures what this program is compared with: Chord as first
// published, which looks up along one path, from one start, over fingers only,
// and fails when a node on the path is bad. It returns
// the share of look-ups that succeed, and their mean number of hops in a ring
// without bad nodes.
func PlainChord(nodes, lookups int, bad float64, seed uint64) (success, hops float64) {
	rng := rand.New(rand.NewPCG(seed, 0x63686f72))
	s := &Sim{rng: rng}
	ids := make([]identity.NodeID, nodes)
	isBad := make([]bool, nodes)
	for i := range ids {
		ids[i] = s.randomID()
		isBad[i] = rng.Float64() < bad
	}
	slices.SortFunc(ids, identity.NodeID.Compare)
	ring := oracle{ids: ids}
	right, steps := 0, 0
	for range lookups {
		from := rng.IntN(nodes)
		for isBad[from] && bad < 1 {
			from = rng.IntN(nodes)
		}
		n, ok := ring.walk(from, s.randomID(), isBad)
		if ok {
			right++
		}
		steps += n
	}
	return float64(right) / float64(lookups), float64(steps) / float64(lookups)
}

// walk follows fingers from a node to the one before the target, which knows who
// is responsible.
func (o *oracle) walk(at int, target identity.NodeID, bad []bool) (hops int, ok bool) {
	ok = true
	owner, _ := o.search(target)
	owner %= len(o.ids)
	before := (owner + len(o.ids) - 1) % len(o.ids)
	for at != owner && at != before {
		at = o.finger(at, target)
		hops++
		ok = ok && !bad[at]
	}
	return hops, ok
}

// finger returns the finger of a node that precedes target most closely.
func (o *oracle) finger(at int, target identity.NodeID) int {
	self := o.ids[at]
	gap := self.Distance(target)
	for bit := 127; bit >= 0; bit-- {
		var d identity.NodeID
		d[15-bit/8] = 1 << (bit % 8)
		if d.Compare(gap) >= 0 {
			continue
		}
		f, _ := o.search(self.Add(d))
		f %= len(o.ids)
		if to := self.Distance(o.ids[f]); to.Compare(gap) < 0 && f != at {
			return f
		}
	}
	return (at + 1) % len(o.ids)
}
