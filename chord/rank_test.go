package chord

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestWorstAgainstModel: whoever comes and goes and is pinned, the member to make
// room is the one that looking through the whole table would find.
func TestWorstAgainstModel(t *testing.T) {
	const seed = 23
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 23))
	pinned := make(map[ID]bool)
	tb := newTable(200, rng, func(id ID) bool { return pinned[id] })
	tb.diversity.off = true
	now := time.Unix(1_900_000_000, 0)
	var ids []ID
	found := 0
	for step := range 6000 {
		id := randomID(rng)
		if len(ids) > 0 && rng.IntN(2) == 0 {
			id = ids[rng.IntN(len(ids))]
		}
		ids = append(ids, id)
		switch rng.IntN(8) {
		case 0:
			tb.remove(id)
		case 1:
			tb.mark(id, suspect, rng.IntN(2) == 0)
		case 2:
			pinned[id] = tb.get(id) != nil && len(pinned) < 60 && rng.IntN(2) == 0
			tb.list(id, pinned[id])
		case 3:
			if worst := tb.worst(); worst != nil {
				pinned[worst.id()] = len(pinned) < 60
			}
		case 4:
			tb.firsthand(vpeer(id, 1), now)
		default:
			tb.learn(&Member{Peer: vpeer(id, 1)})
		}
		var want *contact
		for _, s := range tb.order.slots {
			for i := range s.chunk.n {
				c := &s.chunk.c[i]
				if !tb.pinned(c.id()) && (want == nil || tb.weight(c, s.chunk.keys[i]) > tb.weight(want, keyOf(want.id()))) {
					want = c
				}
			}
		}
		if tb.top.known {
			found++
		}
		if got := tb.worst(); got != want {
			t.Fatalf("step %d: %v, not %v", step, got, want)
		}
	}
	if found < 5000 || tb.order.len() < 150 {
		t.Errorf("%d times it was known before, %d members: too little happened", found, tb.order.len())
	}
}
