package zave

import (
	"fmt"
	"slices"
	"testing"
)

// smallSpace is every state of a few IDs in small-ring mode: each member's list
// is any set of the other IDs, the living and the dead.
type smallSpace struct {
	ids    []ID
	visit  func(ring Ring) error
	states int
}

// enumerate visits the states in which what the members know of one another
// holds them together.
func (s *smallSpace) enumerate() error {
	for members := 1; members < 1<<len(s.ids); members++ {
		if err := s.descend(members, 0, nil); err != nil {
			return err
		}
	}
	return nil
}

func (s *smallSpace) descend(members, i int, ring Ring) error {
	if i == len(s.ids) {
		if !connected(ring) {
			return nil
		}
		s.states++
		return s.visit(ring)
	}
	if members>>i&1 == 0 {
		return s.descend(members, i+1, ring)
	}
	n := len(s.ids)
	for known := range 1 << n {
		if known>>i&1 == 1 {
			continue
		}
		st := Alone(s.ids[i], n)
		for k := 1; k < n; k++ {
			if j := (i + k) % n; known>>j&1 == 1 {
				st.Succ.push(s.ids[j])
				st.Pred = s.ids[j]
			}
		}
		if err := s.descend(members, i+1, append(ring[:len(ring):len(ring)], st)); err != nil {
			return err
		}
	}
	return nil
}

// connected reports whether the members hang together: two do when one of them
// lists the other.
func connected(ring Ring) bool {
	if len(ring) == 0 {
		return false
	}
	seen := make([]bool, len(ring))
	queue := []int{0}
	seen[0] = true
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		for k := range ring {
			if !seen[k] && (ring[at].Succ.Contains(ring[k].Self) || ring[k].Succ.Contains(ring[at].Self)) {
				seen[k] = true
				queue = append(queue, k)
			}
		}
	}
	return !slices.Contains(seen, false)
}

// TestSmallInductive: from every state of up to 4 IDs in small-ring mode every
// operation leads to one that is in order, in which no member has lost a live
// one and all hang together; an effective step is there exactly while the ring
// is not ideal, and a few rounds lead to that.
func TestSmallInductive(t *testing.T) { smallInductive(t, 4) }

func smallInductive(t *testing.T, n int) {
	t.Helper()
	worst, steps := 0, 0
	s := &smallSpace{ids: spaced(n, 1<<56)}
	s.visit = func(ring Ring) error {
		count, err := smallOperations(s.ids, ring)
		if err != nil {
			return fmt.Errorf("%v: %w", ring, err)
		}
		steps += count
		rounds, err := smallRounds(ring)
		if err != nil {
			return fmt.Errorf("%v: %w", ring, err)
		}
		worst = max(worst, rounds)
		return nil
	}
	if err := s.enumerate(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d IDs: %d states, %d operations, ideal after %d rounds at most", n, s.states, steps, worst)
}

// smallOperations applies every operation that may come to every member.
func smallOperations(ids []ID, ring Ring) (steps int, err error) {
	check := func(what string, i int, st State) {
		steps++
		next := slices.Clone(ring)
		next[i] = st
		if bad := smallKept(ring, next, i); bad != nil && err == nil {
			err = fmt.Errorf("%s of %s: %w", what, ring[i].Self.Short(), bad)
		}
	}
	for i := range ring {
		t := ring[i]
		for _, x := range ids {
			other, live := ring.Get(x)
			switch {
			case x == t.Self:
			case !live:
				check("Forget", i, Forget(t, x))
				if x == t.Head() {
					check("SuccessorDead", i, SuccessorDead(t).State)
				}
			default:
				check("Meet", i, Meet(t, x))
				check("CandidateLive", i, CandidateLive(t, other.View()).State)
				check("Rectify", i, Rectify(t, x, ring.Live(t.Pred)))
				for _, pred := range ids { // the predecessor that is read
					v := other.View()
					v.Pred = pred
					step := SuccessorLive(t, v)
					check("SuccessorLive", i, step.State)
					if want := Between(t.Self, pred, x); err == nil && step.HasCandidate != want {
						err = fmt.Errorf("SuccessorLive of %s: candidate %v", t.Self.Short(), step.HasCandidate)
					}
				}
			}
		}
		check("Shrink", i, Shrink(t, ring.Live))
		if bad := smallJoins(ids, ring, i); bad != nil && err == nil {
			err = bad
		}
	}
	return steps, err
}

// smallKept checks that member i has come to no harm.
func smallKept(before, after Ring, i int) error {
	if err := after[i].CheckLocal(); err != nil {
		return err
	}
	for _, id := range before[i].Succ.IDs() {
		if before.Live(id) && !after[i].Succ.Contains(id) {
			return fmt.Errorf("%w: it has forgotten %s, which lives", ErrDisorder, id.Short())
		}
	}
	if !connected(after) {
		return ErrNotOneRing
	}
	return nil
}

// smallJoins lets every stranger join at member i.
func smallJoins(ids []ID, ring Ring, i int) error {
	for _, j := range ids {
		if ring.Live(j) {
			continue
		}
		st, ok := Join(j, ring[i].View())
		if ok != Between(ring[i].Self, j, ring[i].Head()) {
			return fmt.Errorf("join of %s at %s: %v: %w", j.Short(), ring[i].Self.Short(), ok, ErrDisorder)
		}
		if !ok {
			continue
		}
		grown := slices.Clone(ring)
		grown[i] = Meet(grown[i], j)
		grown = NewRing(append(grown, st)...)
		if err := st.CheckLocal(); err != nil {
			return err
		}
		if !connected(grown) || !st.Succ.Contains(ring[i].Self) {
			return fmt.Errorf("join of %s at %s: %w", j.Short(), ring[i].Self.Short(), ErrNotOneRing)
		}
	}
	return nil
}

// smallRounds counts the rounds to the ideal ring. As long as it is not there
// somebody's round must change something, and from then on nobody's may.
func smallRounds(ring Ring) (int, error) {
	w := &world{protocol: real(), ring: slices.Clone(ring)}
	for round := 0; ; round++ {
		before := slices.Clone(w.ring)
		ideal := w.ring.Ideal()
		changes := 0
		for i := range before {
			w.ring = slices.Clone(before)
			w.tell(i)
			if !slices.Equal(w.ring, before) {
				changes++
			}
		}
		if (ideal == nil) != (changes == 0) {
			return round, fmt.Errorf("%d effective steps, ideal: %w", changes, ideal)
		}
		if ideal == nil {
			return round, nil
		}
		if round == 4*len(ring) {
			return round, ideal
		}
		w.ring = before
		for i := range w.ring {
			w.tell(i)
		}
	}
}
