package hidden

import (
	"math/rand/v2"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// Candidates are the members that a node can ask through.
type Candidates struct {
	Owner   identity.OwnerTag // of the node that asks
	Members []wire.Peer       // that it knows
	// Holds reports whether a member is one of those where what is asked for lies.
	Holds func(id identity.NodeID) bool
	// Usable reports whether a member can be asked through: its key is known.
	Usable func(id identity.NodeID) bool
}

// Draw draws two members at random, of two owners who are not the asker's. They
// are not where lies what is asked for, as long as enough others are known: such a
// one would have two parts in one question. A first with an ID stays as it is; ok
// is false where there are not enough.
func (c *Candidates) Draw(rng *rand.Rand, first wire.Peer) (_, second wire.Peer, ok bool) {
	if first.ID == (identity.NodeID{}) {
		if first, ok = c.pick(rng, c.Owner); !ok {
			return first, second, false
		}
	}
	second, ok = c.pick(rng, first.Owner)
	return first, second, ok
}

func (c *Candidates) pick(rng *rand.Rand, besides identity.OwnerTag) (wire.Peer, bool) {
	var holder wire.Peer
	found := false
	start, step := 0, 1
	if n := len(c.Members); n > 0 {
		start, step = rng.IntN(n), stride(rng, n)
	}
	for i := range c.Members { // every member once, in an order that begins anywhere
		p := c.Members[(start+i*step)%len(c.Members)]
		if p.Owner == c.Owner || p.Owner == besides || !c.Usable(p.ID) {
			continue
		}
		if !c.Holds(p.ID) {
			return p, true
		}
		if !found {
			holder, found = p, true
		}
	}
	return holder, found
}

// stride draws a step that leads past all of n members: one that shares no factor
// with n.
func stride(rng *rand.Rand, n int) int {
	for {
		step := 1 + rng.IntN(n)
		a, b := step, n
		for b != 0 {
			a, b = b, a%b
		}
		if a == 1 {
			return step
		}
	}
}
