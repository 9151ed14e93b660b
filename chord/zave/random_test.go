package zave

import (
	"flag"
	"math/rand/v2"
	"testing"
)

// long runs the random tests at full size: go test ./chord/zave -long.
var long = flag.Bool("long", false, "random runs of a million steps with a thousand members")

// TestSampled: the inductive step at r = 3 with 9 IDs, on states drawn at random.
func TestSampled(t *testing.T) {
	const seed = 9
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 9))
	samples := 1000
	if *long {
		samples = 100_000
	}
	s := newSpace(real(), 3, spaced(9, 1<<56))
	for range samples {
		members, chosen := s.sample(rng)
		s.states++
		if err := s.ring(members, chosen).withAnyPred().Check(); err != nil {
			t.Fatalf("the sample itself: %v", err)
		}
		if err := everyOperation(s, members, chosen); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d states, %d operations", s.states, s.steps)
}

// withAnyPred gives everybody a predecessor, for checks that do not mind which.
func (r Ring) withAnyPred() Ring {
	for i := range r {
		r[i].Pred = r[(i+1)%len(r)].Self
	}
	return r
}

// sample draws a state that satisfies the invariant: some members are
// principals, which no list skips.
func (s *space) sample(rng *rand.Rand) (members uint, chosen []int) {
	n := len(s.ids)
	principals := uint(0)
	for _, i := range rng.Perm(n)[:s.r+1+rng.IntN(n-s.r)] {
		principals |= 1 << i
	}
	members = principals | uint(rng.Uint32())&(1<<n-1)
	chosen = make([]int, n)
	for i := range n {
		if members>>i&1 == 0 {
			continue
		}
		for {
			k := rng.IntN(len(s.options[i]))
			if s.skips[i][k]&principals == 0 && s.entries[i][k]&members != 0 {
				chosen[i] = k
				break
			}
		}
	}
	return members, chosen
}

// run drives a world for steps steps and then to the ideal ring.
func run(p protocol, r, n, steps int, churn float64, seed uint64) (w *world, rounds int, err error) {
	w = newWorld(p, r, n, seed)
	for k := range steps {
		i := w.step(churn, 2*n)
		if i >= 0 {
			if err := w.ring.CheckMember(&w.ring[i]); err != nil {
				return w, 0, err
			}
		}
		if k%1000 == 999 {
			if err := w.ring.Check(); err != nil {
				return w, 0, err
			}
		}
	}
	rounds, err = w.rounds(4 * len(w.ring))
	return w, rounds, err
}

// TestRandomRuns: joins, fails and interleaved stabilisations keep the invariant,
// and a fair schedule then reaches the ideal state.
func TestRandomRuns(t *testing.T) {
	type scale struct {
		r, n, steps int
		churn       float64
	}
	scales := []scale{{2, 12, 10_000, 0.05}, {3, 50, 10_000, 0.1}, {8, 50, 10_000, 0.1}, {8, 50, 5_000, 0.5}}
	if *long {
		scales = append(scales, scale{8, 50, 1_000_000, 0.2}, scale{8, 1000, 1_000_000, 0.05})
	}
	for i, c := range scales {
		seed := uint64(i + 1)
		w, rounds, err := run(real(), c.r, c.n, c.steps, c.churn, seed)
		if err != nil {
			t.Fatalf("seed %d, r = %d, N = %d: %v", seed, c.r, c.n, err)
		}
		t.Logf("seed %d: r = %d, N = %d, %d steps, %d joins, %d fails; ideal after %d rounds with %d members",
			seed, c.r, c.n, c.steps, w.joins, w.fails, rounds, len(w.ring))
	}
}

// TestConvergence reports how many fair rounds lead from a shaken ring to the
// ideal one.
func TestConvergence(t *testing.T) {
	most, sum := 0, 0
	const runs = 10
	for seed := range uint64(runs) {
		_, rounds, err := run(real(), 8, 50, 2000, 0.3, 100+seed)
		if err != nil {
			t.Fatalf("seed %d: %v", 100+seed, err)
		}
		most, sum = max(most, rounds), sum+rounds
	}
	t.Logf("N about 50, r = 8, seeds 100 to %d: %.1f rounds on average, %d at most", 100+runs-1, float64(sum)/runs, most)
}
