package zave

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"
)

// Two rings that a partition has made know nothing of one another until a dead
// entry that is asked answers. These tests hold whatever such a candidate is.

// TestMergeInductive: every pair of rings of up to n IDs in all, each of which
// satisfies the invariant by itself, and every candidate of the other side. No
// step costs a principal of either ring or of both together, none leaves a
// member without a live successor, and a fair schedule leads to one ideal ring.
func TestMergeInductive(t *testing.T) { mergeInductive(t, 6) }

func mergeInductive(t *testing.T, n int) {
	t.Helper()
	const r = 2
	ids := spaced(n, 1<<56)
	rings := map[uint][]Ring{} // by members
	s := newSpace(real(), r, ids)
	s.visit = func(s *space, members uint, chosen []int) error {
		rings[members] = append(rings[members], s.ring(members, chosen).withAnyPred())
		return nil
	}
	if err := s.enumerate(); err != nil {
		t.Fatal(err)
	}
	pairs, steps, worst := 0, 0, 0
	for a := range uint(1) << n {
		for b := range a {
			if a&b != 0 || bits.OnesCount(a|b) <= r {
				continue
			}
			for _, one := range rings[a] {
				for _, other := range rings[b] {
					pairs++
					both := NewRing(slices.Concat(one, other)...)
					count, err := mergeSteps(both)
					if err != nil {
						t.Fatalf("%v and %v: %v", one, other, err)
					}
					steps += count
					rounds, err := mergeRounds(both, ids, nil)
					if err != nil {
						t.Fatalf("%v and %v: %v", one, other, err)
					}
					worst = max(worst, rounds)
				}
			}
		}
	}
	t.Logf("%d IDs, r = 2: %d pairs of rings, %d steps, one ideal ring after %d rounds at most", n, pairs, steps, worst)
}

// mergeSteps lets every member take every candidate.
func mergeSteps(ring Ring) (steps int, err error) {
	before, _ := ring.Principals()
	for i := range ring {
		for k := range ring {
			if !Candidate(&ring[i], ring[k].Self) {
				continue
			}
			steps++
			next := slices.Clone(ring)
			step := CandidateLive(ring[i], ring[k].View())
			next[i] = step.State
			if err := next.CheckMember(&next[i]); err != nil {
				return steps, err
			}
			if after, _ := next.Principals(); after < before {
				return steps, fmt.Errorf("%s takes %s: %w: %d, %d before", ring[i].Self.Short(), ring[k].Self.Short(), ErrFewPrincipals, after, before)
			}
			if !step.HasNotify || step.Notify != step.State.Head() {
				return steps, fmt.Errorf("%s takes %s and notifies %s", ring[i].Self.Short(), ring[k].Self.Short(), step.Notify.Short())
			}
		}
	}
	return steps, nil
}

// mergeRounds lets all ask those of ids that they do not list, as a node asks
// the dead, and stabilise, until the ring is ideal. A nil rng stands for the
// order of the IDs.
func mergeRounds(ring Ring, ids []ID, rng *rand.Rand) (int, error) {
	w := &world{protocol: real(), rng: rng, ring: slices.Clone(ring)}
	principals, _ := w.ring.Principals()
	for round := 0; ; round++ {
		err := w.ring.Ideal()
		if err == nil {
			return round, w.ring.Check()
		}
		if round > 4*len(ring) {
			return round, fmt.Errorf("after %d rounds: %w", round, err)
		}
		order := make([]int, len(ring))
		for i := range order {
			order[i] = i
		}
		if rng != nil {
			order = rng.Perm(len(ring))
		}
		for _, i := range order {
			for _, x := range ids {
				if c, ok := w.ring.Get(x); ok && Candidate(&w.ring[i], x) {
					step := CandidateLive(w.ring[i], c.View())
					w.ring[i] = step.State
					w.notify(w.ring, step.Notify, step.State.Self)
				}
			}
			w.whole(w.ring, i)
			if err := w.ring.CheckMember(&w.ring[i]); err != nil {
				return round, err
			}
		}
		count, _ := w.ring.Principals()
		if count < principals {
			return round, fmt.Errorf("%w: %d, %d before", ErrFewPrincipals, count, principals)
		}
		principals = count
	}
}

// TestMergeRuns: a ring under churn is cut in two, both sides go on with joins,
// fails and interleaved stabilisations, the cut heals, and members find one
// another through the dead that they ask. Each side keeps the invariant while it
// is alone; afterwards nothing but a failure costs a principal, every list
// stays in order and live, and there is one ideal ring in the end.
func TestMergeRuns(t *testing.T) {
	for seed := range uint64(4) {
		mergeRun(t, 400+seed, 60, 3000, 0.1)
	}
}

func mergeRun(t *testing.T, seed uint64, n, steps int, churn float64) {
	t.Helper()
	const r = 8
	w := newWorld(real(), r, n, seed)
	must := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("seed %d, N = %d, %s: %v", seed, n, what, err)
		}
	}
	before := slices.Clone(w.ring)
	var sides [2]*world
	for k := range sides {
		sides[k] = &world{protocol: real(), rng: rand.New(rand.NewPCG(seed, uint64(10+k))), r: r, candidates: map[ID]ID{}}
	}
	for k, ring := range w.cut() {
		sides[k].ring = ring
	}
	for _, s := range sides {
		for k := range steps {
			if i := s.step(churn, n); i >= 0 {
				must("cut", s.ring.CheckMember(&s.ring[i]))
			}
			if k%1000 == 999 {
				must("cut", s.ring.Check())
			}
		}
	}
	w.ring = NewRing(slices.Concat(sides[0].ring, sides[1].ring)...)
	w.notes = slices.Concat(sides[0].notes, sides[1].notes)
	var ids []ID // whom somebody may have heard of
	for _, m := range slices.Concat(before, w.ring) {
		ids = append(ids, m.Self)
	}
	taken := 0
	for k := range steps {
		if k%8 > 0 {
			if i := w.step(churn/4, 2*n); i >= 0 {
				must("healed", w.ring.CheckMember(&w.ring[i]))
			}
			continue
		}
		was, _ := w.ring.Principals()
		i := w.askDead(ids)
		if i >= 0 {
			taken++
			must("merging", w.ring.CheckMember(&w.ring[i]))
			if is, _ := w.ring.Principals(); is < was {
				t.Fatalf("seed %d: step %d: %d principals, %d before", seed, k, is, was)
			}
		}
	}
	members := len(w.ring)
	for _, m := range w.notes {
		w.notify(w.ring, m.to, m.from)
	}
	rounds, err := mergeRounds(w.ring, ids, w.rng)
	must("in the end", err)
	t.Logf("seed %d: N = %d, r = %d, %d steps on each side and %d after, %d of them across; one ideal ring of %d members %d rounds after the last change",
		seed, n, r, steps, steps, taken, members, rounds)
}

// cut splits the ring at random, but leaves everybody somebody on its own side:
// at most r/2-1 in a row fall on one side.
func (w *world) cut() (sides [2]Ring) {
	last, run := 0, 0
	for i := range w.ring {
		k := w.rng.IntN(2)
		if k == last && run == w.r/2-1 { // the first ones follow the last ones
			k = 1 - k
		}
		if k == last {
			run++
		} else {
			last, run = k, 1
		}
		sides[k] = append(sides[k], w.ring[i])
	}
	return sides
}

// askDead lets a random member ask one that it may have buried, and take it if
// it answers and belongs before the head.
func (w *world) askDead(ids []ID) int {
	i, x := w.rng.IntN(len(w.ring)), ids[w.rng.IntN(len(ids))]
	c, ok := w.ring.Get(x)
	if !ok || !Candidate(&w.ring[i], x) {
		return -1
	}
	step := CandidateLive(w.ring[i], c.View())
	w.ring[i] = step.State
	w.notes = append(w.notes, note{step.Notify, step.State.Self})
	return i
}
