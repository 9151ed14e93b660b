package simnet

import (
	"testing"
	"time"
)

// B4: one attacker after the other in a row on the circle, a tenth of the ring, so
// that all that lies in a position there is theirs. A name's records lie spaced
// equally round the ring, so each name loses at most its places there.
func TestMatrixB4CapturedRegion(t *testing.T) {
	right, all, acts, hit := 0, 0, uint64(0), 0
	for _, seed := range []uint64{41, 42, 43} {
		s, err := New(Config{Nodes: 500, Names: 32, Lookups: 150, Duration: 5 * time.Minute, RoutingOnly: true, Attack: Eclipse, Bad: 0.1, Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		r := s.Run(t.Context())
		right, all, acts = right+r.ResolvedRight, all+r.Lookups, acts+r.Attacks
		for num := range s.shelves {
			if s.nodes[num].bad {
				hit++
			}
		}
		if r.Success < 1 {
			t.Errorf("seed %d: %d of %d right: %v", seed, r.ResolvedRight, r.Lookups, r.Refusals)
		}
	}
	if acts == 0 || hit == 0 {
		t.Errorf("%d attacks by %d holders", acts, hit)
	}
	t.Logf("matrix: B4 50 nodes in a row of 500 captured: %d of %d names found; %d captured holders, %d fetches dropped", right, all, hit, acts)
}
