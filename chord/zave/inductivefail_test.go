package zave

import (
	"errors"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"
)

// onFail checks that Fail keeps the invariant where it is allowed.
func (s *space) onFail(ring Ring, at int, members uint, chosen []int, i int) error {
	rest := members &^ (1 << i)
	skips := uint(0)
	for k := range s.ids {
		if rest>>k&1 == 1 {
			if s.entries[k][chosen[k]]&rest == 0 {
				return nil // not allowed: somebody would have no live successor
			}
			skips |= s.skips[k][chosen[k]]
		}
	}
	if bits.OnesCount(rest&^skips) <= s.r {
		return nil // not allowed: too few principals would be left
	}
	s.steps++
	s.fails++
	if bits.OnesCount(rest&^skips) < bits.OnesCount(members&^(skips|s.skips[i][chosen[i]])) {
		s.lowered++
	}
	left := append(slices.Clone(ring[:at]), ring[at+1:]...)
	if err := left.withAnyPred().Check(); err != nil {
		return fmt.Errorf("Fail: %w", err)
	}
	return nil
}

// onStranger lets an ID that is no member join at every member.
func (s *space) onStranger(ring Ring, members uint, chosen []int, i int) error {
	let := 0
	for k := range ring {
		if !ring.Live(ring[k].Head()) {
			let++ // has to drop that head first
		}
		st, ok := s.join(s.ids[i], ring[k].View())
		if ok != Between(ring[k].Self, s.ids[i], ring[k].Head()) {
			return fmt.Errorf("let in by %s: %v: %w", ring[k].Self.Short(), ok, ErrDisorder)
		}
		if !ok {
			continue
		}
		let++
		grown := slices.Clone(chosen)
		grown[i] = -1
		if err := s.after("Join", members|1<<i, grown, i, st); err != nil {
			return err
		}
		if st.Pred != ring[k].Self {
			return fmt.Errorf("joins with predecessor %s: %w", st.Pred.Short(), ErrNoPredecessor)
		}
	}
	if let == 0 {
		return errors.New("nobody lets it in")
	}
	return nil
}

// inductive looks at every state of up to n IDs with lists of r.
func inductive(p protocol, r, n int, gap uint64) (*space, error) {
	s := newSpace(p, r, spaced(n, gap))
	s.visit = everyOperation
	return s, s.enumerate()
}

// TestInductive: from every state that satisfies the invariant, every operation
// leads to one that does. r = 2, up to 6 IDs, complete.
func TestInductive(t *testing.T) {
	for _, gap := range []uint64{1, 1 << 56} {
		for n := 3; n <= 6; n++ {
			s, err := inductive(real(), 2, n, gap)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d IDs, %d apart: %d states, %d operations, %d of %d failures cost a principal", n, gap, s.states, s.steps, s.lowered, s.fails)
			if n > 4 && s.lowered == 0 {
				t.Error("no failure costs a principal: this counts wrongly")
			}
		}
	}
}

// TestInvariantImplies: what Check claims of the ring and of the lists' order follows from
// I1 and I2 alone. All states of 4 IDs, lists in any order and with duplicates.
func TestInvariantImplies(t *testing.T) {
	ids := spaced(4, 10)
	n := len(ids)
	valid, all := 0, 0
	for members := uint(1); members < 1<<n; members++ {
		count := bits.OnesCount(members)
		if count < 3 {
			continue
		}
		total := 1
		for range count {
			total *= n * n
		}
		for code := range total {
			ring := make(Ring, 0, count)
			rest := code
			for i := range ids {
				if members>>i&1 == 1 {
					st := Alone(ids[i], 2)
					st.Pred = ids[(i+1)%n]
					st.Succ = MakeList(ids[rest%n], ids[rest/n%n])
					rest /= n * n
					ring = append(ring, st)
				}
			}
			all++
			if invariant(ring) {
				valid++
				if err := ring.Check(); err != nil {
					t.Fatalf("%v: %v", ring, err)
				}
			}
		}
	}
	t.Logf("%d of %d states satisfy the invariant; all of them are ordered rings", valid, all)
}

// invariant is I1 and I2, straight from their definition.
func invariant(ring Ring) bool {
	principals := 0
	for i := range ring {
		live, skipped := false, false
		for _, id := range ring[i].Succ.IDs() {
			live = live || ring.Live(id)
		}
		if !live {
			return false
		}
		for k := range ring {
			x := ring[k].Self
			for _, y := range ring[k].Succ.IDs() {
				skipped = skipped || Between(x, ring[i].Self, y)
				x = y
			}
		}
		if !skipped {
			principals++
		}
	}
	return principals > int(ring[0].R)
}

// TestEffectiveStep: with nothing under way, a ring that is not ideal has a
// step that changes something, and an ideal one has none. Every state of 4 IDs
// with every predecessor; of 6 IDs with predecessors drawn at random.
func TestEffectiveStep(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	for _, n := range []int{4, 6} {
		s := newSpace(real(), 2, spaced(n, 1<<56))
		looked := 0
		s.visit = func(s *space, members uint, chosen []int) error {
			ring := s.ring(members, chosen)
			if n == 4 {
				total := 1
				for range ring {
					total *= n
				}
				for code := range total {
					looked++
					if err := effective(withPreds(ring, s.ids, func(i int) int { return code / pow(n, i) % n })); err != nil {
						return err
					}
				}
				return nil
			}
			if rng.IntN(10) > 0 {
				return nil
			}
			looked++
			return effective(withPreds(ring, s.ids, func(int) int { return rng.IntN(n) }))
		}
		if err := s.enumerate(); err != nil {
			t.Fatal(err)
		}
		t.Logf("%d IDs: %d states", n, looked)
	}
}

func pow(n, k int) int {
	p := 1
	for range k {
		p *= n
	}
	return p
}

func withPreds(ring Ring, ids []ID, pick func(i int) int) Ring {
	ring = slices.Clone(ring)
	for i := range ring {
		if ring[i].Pred = ids[pick(i)]; ring[i].Pred == ring[i].Self {
			ring[i].Pred = ids[(pick(i)+1)%len(ids)]
		}
	}
	return ring
}

func effective(ring Ring) error {
	changes := 0
	for i := range ring {
		next := slices.Clone(ring)
		real().whole(next, i)
		if !slices.Equal(next, ring) {
			changes++
		}
	}
	ideal := ring.Ideal()
	if (ideal == nil) != (changes == 0) {
		return fmt.Errorf("%v: %d effective steps, ideal: %w", ring, changes, ideal)
	}
	return nil
}
