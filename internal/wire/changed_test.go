package wire_test

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"net/netip"

	"github.com/secp2psip/secp2psip/internal/wire"
)

// TestChanged: what a state says has changed gives that state again, and nothing
// else that an order may hold does harm.
func TestChanged(t *testing.T) {
	const seed = 31
	rng := rand.New(rand.NewPCG(seed, 0))
	peer := func(n int) wire.Peer {
		p := peerA
		p.ID[15], p.Addrs = byte(n), []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}), 5062)}
		return p
	}
	state := func(from, gap int) *wire.State {
		pred := peer(from - 1)
		s := &wire.State{Self: peer(100), Pred: &pred}
		for k := range 8 {
			if k != gap {
				s.Succ = append(s.Succ, peer(from+k))
			}
		}
		return s
	}
	short := 0
	for range 500 {
		old, now := state(1+rng.IntN(4), rng.IntN(9)), state(1+rng.IntN(4), rng.IntN(9))
		c := now.Since(old)
		if c == nil {
			continue
		}
		short++
		if d := cmp.Diff(now, c.Apply(old), cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.AddrPort{})); d != "" {
			t.Fatalf("seed %d: %s", seed, d)
		}
		for i := range c.Order {
			c.Order[i] = byte(rng.Uint32())
		}
		if s := c.Apply(old); s != nil && len(s.Succ)+1 != len(c.Order) {
			t.Fatalf("seed %d: %d successors of %d", seed, len(s.Succ), len(c.Order)-1)
		}
	}
	if short < 400 {
		t.Errorf("only %d of 500 were told shortly", short)
	}
	if other := state(1, 8); other.Since(&wire.State{Self: other.Self}) != nil {
		t.Error("a state without a predecessor is no base")
	}
}
