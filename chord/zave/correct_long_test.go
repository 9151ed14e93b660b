//go:build long

package zave

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// The tests of this package at their full sizes.

func TestLongSampled(t *testing.T) {
	t.Parallel()
	for n := 4; n <= 9; n++ {
		sampled(t, n, 20_000)
	}
}

// TestLongEffectiveStep: as TestEffectiveStep, with every predecessor for every
// state of 5 IDs, and drawn at random for 6 IDs and for r = 3 with 9 IDs.
func TestLongEffectiveStep(t *testing.T) {
	t.Parallel()
	const seed, draws = 5, 60
	rng := rand.New(rand.NewPCG(seed, 3))
	for _, n := range []int{5, 6} {
		s := newSpace(real(), 2, spaced(n, 1<<56))
		looked := 0
		s.visit = func(s *space, members uint, chosen []int) error {
			ring := s.ring(members, chosen)
			total := draws
			pick := func(int) func(int) int { return func(int) int { return rng.IntN(n) } }
			if n == 5 {
				total = pow(n, len(ring))
				pick = func(code int) func(int) int { return func(i int) int { return code / pow(n, i) % n } }
			}
			for code := range total {
				looked++
				if err := effective(withPreds(ring, s.ids, pick(code))); err != nil {
					return err
				}
			}
			return nil
		}
		if err := s.enumerate(); err != nil {
			t.Fatal(err)
		}
		t.Logf("seed %d: %d IDs, r = 2: %d states", seed, n, looked)
	}
	s := newSpace(real(), 3, spaced(9, 1<<56))
	const samples = 200_000
	for range samples {
		members, chosen := s.sample(rng)
		if err := effective(withPreds(s.ring(members, chosen), s.ids, func(int) int { return rng.IntN(9) })); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("seed %d: 9 IDs, r = 3: %d states", seed, samples)
}

// TestLongRandomRuns: a million steps each at N = 50 to 1,000.
func TestLongRandomRuns(t *testing.T) {
	t.Parallel()
	for i, c := range []scale{
		{2, 50, 1_000_000, 0.02}, {3, 100, 1_000_000, 0.05},
		{8, 50, 1_000_000, 0.2}, {8, 100, 1_000_000, 0.2}, {8, 250, 1_000_000, 0.1}, {8, 500, 1_000_000, 0.1}, {8, 1000, 1_000_000, 0.05},
	} {
		t.Run(fmt.Sprintf("r=%d,N=%d", c.r, c.n), func(t *testing.T) {
			t.Parallel()
			randomRun(t, uint64(50+i), c)
		})
	}
}

func TestLongConvergence(t *testing.T) {
	t.Parallel()
	for _, n := range []int{50, 100, 250, 500, 1000} {
		convergence(t, n, min(10, 2500/n))
	}
}

func TestLongOracle(t *testing.T) {
	t.Parallel()
	for _, n := range []int{50, 250, 1000} {
		oracles(t, n, min(10, 2500/n))
	}
}

func TestLongSmallInductive(t *testing.T) {
	t.Parallel()
	smallInductive(t, 5)
}

func TestLongBorder(t *testing.T) {
	t.Parallel()
	borders(t, []int{2, 3, 4}, 5, 5)
}

func TestLongMergeInductive(t *testing.T) {
	t.Parallel()
	mergeInductive(t, 7)
}

func TestLongMergeRuns(t *testing.T) {
	t.Parallel()
	for i, n := range []int{60, 120, 250, 500, 1000} {
		mergeRun(t, uint64(450+i), n, 200_000, 0.1)
	}
}
