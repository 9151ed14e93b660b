package zave

import (
	"math/rand/v2"
	"testing"
)

// TestSampled: the inductive step at r = 3 with up to 9 IDs, on states drawn at random.
func TestSampled(t *testing.T) {
	for n := 4; n <= 9; n++ {
		sampled(t, n, 300)
	}
}

// sampled looks at states of n IDs with lists of 3.
func sampled(t *testing.T, n, samples int) {
	t.Helper()
	seed := uint64(n)
	rng := rand.New(rand.NewPCG(seed, 9))
	s := newSpace(real(), 3, spaced(n, 1<<56))
	for range samples {
		members, chosen := s.sample(rng)
		s.states++
		if err := s.ring(members, chosen).withAnyPred().Check(); err != nil {
			t.Fatalf("seed %d: the sample itself: %v", seed, err)
		}
		if err := everyOperation(s, members, chosen); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
	t.Logf("seed %d: %d IDs, r = 3: %d states, %d operations, %d of %d failures cost a principal", seed, n, s.states, s.steps, s.lowered, s.fails)
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

// scale is the size of one random run.
type scale struct {
	r, n, steps int
	churn       float64 // the fraction of the steps that are joins or fails
}

// TestRandomRuns: joins, fails and interleaved stabilisations keep the invariant,
// and a fair schedule then reaches the ideal state.
func TestRandomRuns(t *testing.T) {
	for i, c := range []scale{{2, 12, 10_000, 0.05}, {3, 50, 10_000, 0.1}, {8, 50, 10_000, 0.1}, {8, 50, 5_000, 0.5}} {
		randomRun(t, uint64(i+1), c)
	}
}

func randomRun(t *testing.T, seed uint64, c scale) {
	t.Helper()
	w, rounds, err := run(real(), c.r, c.n, c.steps, c.churn, seed)
	if err != nil {
		t.Fatalf("seed %d, r = %d, N = %d: %v", seed, c.r, c.n, err)
	}
	t.Logf("seed %d: r = %d, N = %d, %d steps, %d joins, %d fails; ideal after %d rounds with %d members",
		seed, c.r, c.n, c.steps, w.joins, w.fails, rounds, len(w.ring))
}

// TestConvergence reports how many fair rounds lead from a shaken ring to the
// ideal one.
func TestConvergence(t *testing.T) { convergence(t, 50, 10) }

func convergence(t *testing.T, n, runs int) {
	t.Helper()
	most, sum := 0, 0
	for seed := range uint64(runs) {
		_, rounds, err := run(real(), 8, n, 40*n, 0.3, 100+seed)
		if err != nil {
			t.Fatalf("seed %d: %v", 100+seed, err)
		}
		most, sum = max(most, rounds), sum+rounds
	}
	t.Logf("N about %d, r = 8, seeds 100 to %d: %.1f rounds on average, %d at most", n, 100+runs-1, float64(sum)/float64(runs), most)
}

// TestOracle: in an ideal ring every walk along the successor lists ends at the
// member that a sorted list of all says is responsible. How many do while the
// ring is shaken is reported.
func TestOracle(t *testing.T) { oracles(t, 50, 20) }

func oracles(t *testing.T, n, runs int) {
	t.Helper()
	right, all := 0, 0
	for seed := range uint64(runs) {
		w := newWorld(real(), 8, n, 300+seed)
		for range 10 * n {
			w.step(0.3, 2*n)
		}
		for range n {
			target := w.id()
			got, ok := walk(w.ring, w.rng.IntN(len(w.ring)), target)
			if all++; ok && got == responsible(w.ring, target) {
				right++
			}
		}
		if _, err := w.rounds(4 * len(w.ring)); err != nil {
			t.Fatalf("seed %d: %v", 300+seed, err)
		}
		for range n {
			target := w.id()
			if got, ok := walk(w.ring, w.rng.IntN(len(w.ring)), target); !ok || got != responsible(w.ring, target) {
				t.Fatalf("seed %d: %s is %s's, not %s's", 300+seed, target.Short(), responsible(w.ring, target).Short(), got.Short())
			}
		}
	}
	t.Logf("N about %d, %d seeds from 300 on: all of %d look-ups right in ideal rings, %d of %d in shaken ones", n, runs, n*runs, right, all)
}

// responsible is the oracle: the first member at the target or after it.
func responsible(ring Ring, target ID) ID {
	i, _ := ring.search(target)
	return ring[i%len(ring)].Self
}

// walk goes from member i to the member responsible for the target, by
// successor lists alone.
func walk(ring Ring, i int, target ID) (ID, bool) {
	at := &ring[i]
	for range 2 * len(ring) {
		best, ok := ring.Best(at)
		if !ok {
			return ID{}, false
		}
		if Owns(at.Self, target, best) {
			return best, true
		}
		next := best
		for _, id := range at.Succ.IDs() {
			if ring.Live(id) && Between(at.Self, id, target) {
				next = id
			}
		}
		at, _ = ring.Get(next)
	}
	return ID{}, false
}
