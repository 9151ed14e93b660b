package zave

import (
	"errors"
	"fmt"
	"slices"
	"sort"
)

// What Check and Ideal find wrong. Tests and the simulator look for these.
var (
	ErrNoLiveSuccessor = errors.New("a member has no live successor")
	ErrFewPrincipals   = errors.New("fewer than r+1 principals")
	ErrDisorder        = errors.New("a successor list is out of order")
	ErrNotOneRing      = errors.New("the best successors do not form one ordered ring")
	ErrNoPredecessor   = errors.New("a member has no predecessor")
	ErrNotIdeal        = errors.New("the ring is not ideal")
)

// Ring is the states of all members at one moment, as an onlooker sees them
// all; no node ever does. Members are in the order of their IDs.
type Ring []State

// NewRing returns the members in order.
func NewRing(members ...State) Ring {
	r := slices.Clone(members)
	slices.SortFunc(r, func(a, b State) int { return a.Self.Compare(b.Self) })
	return r
}

// search returns the index of the first member whose ID is not below id.
func (r Ring) search(id ID) (int, bool) {
	i := sort.Search(len(r), func(i int) bool { return r[i].Self.Compare(id) >= 0 })
	return i, i < len(r) && r[i].Self == id
}

// Live reports whether id is a member.
func (r Ring) Live(id ID) bool {
	_, ok := r.search(id)
	return ok
}

// Get returns the member with this ID.
func (r Ring) Get(id ID) (*State, bool) {
	i, ok := r.search(id)
	if !ok {
		return nil, false
	}
	return &r[i], true
}

// Best returns a member's best successor, its first live entry.
func (r Ring) Best(s *State) (ID, bool) {
	for _, id := range s.Succ.IDs() {
		if r.Live(id) {
			return id, true
		}
	}
	return ID{}, false
}

// Principals returns how many members nobody skips, and which, by index.
func (r Ring) Principals() (count int, principal []bool) {
	n := len(r)
	skips := make([]int, n+1) // differences of the number of pairs that skip a member
	for i := range r {
		x := r[i].Self
		for _, y := range r[i].Succ.IDs() {
			r.markBetween(skips, x, y)
			x = y
		}
	}
	principal = make([]bool, n)
	depth := 0
	for i := range n {
		depth += skips[i]
		if depth == 0 {
			principal[i] = true
			count++
		}
	}
	return count, principal
}

// markBetween counts the members strictly between x and y as skipped once.
func (r Ring) markBetween(skips []int, x, y ID) {
	i, ok := r.search(x)
	if ok {
		i++
	}
	j, _ := r.search(y)
	switch {
	case x.Compare(y) < 0:
		skips[i]++
		skips[j]--
	default: // round past zero; all but x when x == y
		skips[0]++
		skips[j]--
		skips[i]++
		skips[len(r)]--
	}
}

// Check returns what is wrong with a ring of r+1 members or more: the
// invariant, and what it implies.
func (r Ring) Check() error {
	for i := range r {
		if err := r.CheckMember(&r[i]); err != nil {
			return err
		}
	}
	if len(r) == 0 {
		return nil
	}
	count, principal := r.Principals()
	if count <= int(r[0].R) {
		return fmt.Errorf("%w: %d of %d", ErrFewPrincipals, count, len(r))
	}
	return r.checkRing(principal)
}

// CheckMember checks what concerns one member alone.
func (r Ring) CheckMember(s *State) error {
	if err := s.CheckLocal(); err != nil {
		return err
	}
	if s.Small() {
		return fmt.Errorf("%w: %s lists %d", ErrDisorder, s.Self.Short(), s.Succ.n)
	}
	if _, ok := r.Best(s); !ok {
		return fmt.Errorf("%w: %s lists %s", ErrNoLiveSuccessor, s.Self.Short(), s.Succ)
	}
	return nil
}

// CheckLocal checks what a member can check by itself, in rings of any size:
// the list goes clockwise and holds neither itself nor anybody twice; in
// small-ring mode the predecessor is its last entry, or itself when alone.
func (s *State) CheckLocal() error {
	if s.Pred == (ID{}) { // stands for nil; no node has this ID
		return fmt.Errorf("%w: %s", ErrNoPredecessor, s.Self.Short())
	}
	prev := s.Self
	for _, id := range s.Succ.IDs() {
		if id == s.Self || !Between(prev, id, s.Self) {
			return fmt.Errorf("%w: %s lists %s", ErrDisorder, s.Self.Short(), s.Succ)
		}
		prev = id
	}
	if s.Small() && s.Pred != prev {
		return fmt.Errorf("%w: %s lists %s and has predecessor %s", ErrDisorder, s.Self.Short(), s.Succ, s.Pred.Short())
	}
	return nil
}

// checkRing follows the best successors. A path that starts anywhere ends in a
// cycle; there must be one cycle, it must go round once, and every principal
// must be on it.
func (r Ring) checkRing(principal []bool) error {
	next := make([]int, len(r))
	for i := range r {
		best, ok := r.Best(&r[i])
		if !ok {
			return fmt.Errorf("%w: %s", ErrNoLiveSuccessor, r[i].Self.Short())
		}
		next[i], _ = r.search(best)
	}
	at := 0
	for range r {
		at = next[at]
	}
	start, wraps, length := at, 0, 0
	on := make([]bool, len(r))
	for first := true; first || at != start; first = false {
		on[at] = true
		if next[at] <= at {
			wraps++
		}
		at = next[at]
		length++
	}
	if wraps != 1 {
		return fmt.Errorf("%w: a cycle of %d goes round %d times", ErrNotOneRing, length, wraps)
	}
	for i := range r {
		if principal[i] && !on[i] {
			return fmt.Errorf("%w: principal %s is not on it", ErrNotOneRing, r[i].Self.Short())
		}
	}
	return r.checkReach(next, on)
}

func (r Ring) checkReach(next []int, on []bool) error {
	for i := range r {
		at := i
		for steps := 0; !on[at]; steps++ {
			if steps > len(r) {
				return fmt.Errorf("%w: %s does not reach it", ErrNotOneRing, r[i].Self.Short())
			}
			at = next[at]
		}
		for j := i; !on[j]; j = next[j] {
			on[j] = true // reaches it; saves the others the way
		}
	}
	return nil
}

// Ideal returns nil when every member knows exactly its true neighbours: its
// predecessor and the next r members, or all in a ring of at most r.
func (r Ring) Ideal() error {
	n := len(r)
	for i := range r {
		s := &r[i]
		if pred := r[(i+n-1)%n].Self; s.Pred != pred {
			return fmt.Errorf("%w: %s has predecessor %s, not %s", ErrNotIdeal, s.Self.Short(), s.Pred.Short(), pred.Short())
		}
		if want := min(n-1, int(s.R)); s.Succ.Len() != want {
			return fmt.Errorf("%w: %s lists %d, not %d", ErrNotIdeal, s.Self.Short(), s.Succ.Len(), want)
		}
		for k, id := range s.Succ.IDs() {
			if want := r[(i+1+k)%n].Self; id != want {
				return fmt.Errorf("%w: entry %d of %s is %s, not %s", ErrNotIdeal, k, s.Self.Short(), id.Short(), want.Short())
			}
		}
	}
	return nil
}

// IdealRing returns the ideal ring of these members, each with a list of r.
func IdealRing(r int, ids ...ID) Ring {
	ids = slices.Clone(ids)
	slices.SortFunc(ids, ID.Compare)
	n := len(ids)
	ring := make(Ring, n)
	for i, id := range ids {
		ring[i] = Alone(id, r)
		ring[i].Pred = ids[(i+n-1)%n]
		for k := range min(n-1, r) {
			ring[i].Succ.push(ids[(i+1+k)%n])
		}
	}
	return ring
}
