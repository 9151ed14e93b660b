package zave

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
)

// spaced returns n IDs, gap apart: with a gap of one the padding just past an
// entry is the next ID of the space.
func spaced(n int, gap uint64) []ID {
	ids := make([]ID, n)
	for i := range ids {
		if gap == 1 {
			ids[i][15] = byte(i + 1)
		} else {
			binary.BigEndian.PutUint64(ids[i][:], uint64(i+1)*gap)
		}
	}
	return ids
}

// space is a small ID space in which every state can be looked at. A set of IDs
// is a bit mask.
type space struct {
	protocol
	r       int
	ids     []ID
	options [][]State // each ID's possible lists
	skips   [][]uint  // whom each of them skips
	entries [][]uint  // what each of them holds
	states  int
	steps   int
	fails   int // of the steps
	lowered int // failures after which there are fewer principals; no other operation does that
	visit   func(s *space, members uint, chosen []int) error
}

func newSpace(p protocol, r int, ids []ID) *space {
	s := &space{protocol: p, r: r, ids: ids}
	for i := range ids {
		var options []State
		s.lists(i, 1, Alone(ids[i], r), &options)
		s.options = append(s.options, options)
		var skips, entries []uint
		for k := range options {
			skips = append(skips, s.skipped(&options[k]))
			entries = append(entries, s.holds(&options[k]))
		}
		s.skips, s.entries = append(s.skips, skips), append(s.entries, entries)
	}
	return s
}

// lists collects all ordered lists of r of the other IDs.
func (s *space) lists(i, from int, st State, out *[]State) {
	if st.Succ.Len() == s.r {
		*out = append(*out, st)
		return
	}
	for k := from; k < len(s.ids); k++ {
		next := st
		next.Succ.push(s.ids[(i+k)%len(s.ids)])
		s.lists(i, k+1, next, out)
	}
}

func (s *space) skipped(st *State) (mask uint) {
	x := st.Self
	for _, y := range st.Succ.IDs() {
		for k, p := range s.ids {
			if Between(x, p, y) {
				mask |= 1 << k
			}
		}
		x = y
	}
	return mask
}

func (s *space) holds(st *State) (mask uint) {
	for k, id := range s.ids {
		if st.Succ.Contains(id) {
			mask |= 1 << k
		}
	}
	return mask
}

// enumerate visits every state that satisfies the invariant: every set of
// members, and for each of them every ordered list.
func (s *space) enumerate() error {
	for members := uint(1); members < 1<<len(s.ids); members++ {
		if bits.OnesCount(members) <= s.r {
			continue
		}
		if err := s.descend(members, 0, 0, make([]int, len(s.ids))); err != nil {
			return err
		}
	}
	return nil
}

func (s *space) descend(members uint, i int, skips uint, chosen []int) error {
	if bits.OnesCount(members&^skips) <= s.r {
		return nil // too few principals whatever follows
	}
	if i == len(s.ids) {
		s.states++
		return s.visit(s, members, chosen)
	}
	if members>>i&1 == 0 {
		return s.descend(members, i+1, skips, chosen)
	}
	for k := range s.options[i] {
		if s.entries[i][k]&members == 0 {
			continue // no live successor
		}
		chosen[i] = k
		if err := s.descend(members, i+1, skips|s.skips[i][k], chosen); err != nil {
			return err
		}
	}
	return nil
}

// ring returns the state that was chosen; everybody's predecessor is itself
// until an operation's test varies it.
func (s *space) ring(members uint, chosen []int) Ring {
	var r Ring
	for i := range s.ids {
		if members>>i&1 == 1 {
			r = append(r, s.options[i][chosen[i]])
		}
	}
	return r
}

// others returns whom the members but i skip.
func (s *space) others(members uint, chosen []int, i int) (skips uint) {
	for k := range s.ids {
		if k != i && members>>k&1 == 1 {
			skips |= s.skips[k][chosen[k]]
		}
	}
	return skips
}

// after checks the invariant when member i has the state st and the others are
// unchanged. Fewer principals than before are an error, too.
func (s *space) after(what string, members uint, chosen []int, i int, st State) error {
	s.steps++
	if err := st.CheckLocal(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if s.holds(&st)&members == 0 {
		return fmt.Errorf("%s: %w: %v", what, ErrNoLiveSuccessor, st.Succ)
	}
	if st.Small() {
		return fmt.Errorf("%s: %w: short list %v", what, ErrDisorder, st.Succ)
	}
	others := s.others(members, chosen, i)
	left := bits.OnesCount(members &^ (others | s.skipped(&st)))
	if left <= s.r {
		return fmt.Errorf("%s: %w: %d", what, ErrFewPrincipals, left)
	}
	if chosen[i] < 0 {
		return nil // has just joined
	}
	if before := bits.OnesCount(members &^ (others | s.skips[i][chosen[i]])); left < before {
		return fmt.Errorf("%s: %w: %d, %d before", what, ErrFewPrincipals, left, before)
	}
	return nil
}

// everyOperation applies each operation to each member of one state, and varies
// the predecessor or candidate that the operation reads.
func everyOperation(s *space, members uint, chosen []int) error {
	ring := s.ring(members, chosen)
	at := 0
	for i := range s.ids {
		if members>>i&1 == 1 {
			if err := s.onMember(ring, at, members, chosen, i); err != nil {
				return fmt.Errorf("members %06b %v: %s: %w", members, ring, s.ids[i].Short(), err)
			}
			at++
		} else if err := s.onStranger(ring, members, chosen, i); err != nil {
			return fmt.Errorf("members %06b %v: join of %s: %w", members, ring, s.ids[i].Short(), err)
		}
	}
	return nil
}

func (s *space) onMember(ring Ring, at int, members uint, chosen []int, i int) error {
	t := ring[at]
	if head, ok := ring.Get(t.Head()); ok {
		for _, pred := range s.ids { // the predecessor that is read
			v := head.View()
			v.Pred = pred
			step := s.successorLive(t, v)
			if err := s.checkStep("SuccessorLive", step, Between(t.Self, pred, v.Self)); err != nil {
				return err
			}
			if err := adopted("SuccessorLive", step.State, v); err != nil {
				return err
			}
			if err := s.after("SuccessorLive", members, chosen, i, step.State); err != nil {
				return err
			}
		}
	} else {
		step := s.stabilize(ring, at)
		if err := s.checkStep("SuccessorDead", step, false); err != nil {
			return err
		}
		if err := s.after("SuccessorDead", members, chosen, i, step.State); err != nil {
			return err
		}
	}
	for k := range ring { // any live candidate, as after a partition
		if Candidate(&t, ring[k].Self) {
			step := s.candidateLive(t, ring[k].View())
			if err := s.checkStep("CandidateLive", step, false); err != nil {
				return err
			}
			if err := adopted("CandidateLive", step.State, ring[k].View()); err != nil {
				return err
			}
			if err := s.after("CandidateLive", members, chosen, i, step.State); err != nil {
				return err
			}
		}
	}
	if err := s.onNotified(ring, t); err != nil {
		return err
	}
	return s.onFail(ring, at, members, chosen, i)
}

// checkStep checks what a step wants done: a completed stabilisation notifies
// the head of the list as it is now.
func (s *space) checkStep(what string, step Step, wantCandidate bool) error {
	if step.Short || step.Again {
		return fmt.Errorf("%s: not complete: %+v", what, step)
	}
	if step.HasCandidate != wantCandidate {
		return fmt.Errorf("%s: candidate %v, not %v", what, step.HasCandidate, wantCandidate)
	}
	if step.HasNotify == wantCandidate || step.HasNotify && step.Notify != step.State.Head() {
		return fmt.Errorf("%s: notifies %v %s, head %s", what, step.HasNotify, step.Notify.Short(), step.State.Head().Short())
	}
	return nil
}

// adopted checks that a member took over another's whole list but the last: a
// list that is patched together from two loses its redundancy, for the tail may
// be long dead, and the next burst of failures strands its owner.
func adopted(what string, st State, v View) error {
	want := append([]ID{v.Self}, v.Succ.IDs()[:v.Succ.Len()-1]...)
	if !slices.Equal(st.Succ.IDs(), want) {
		return fmt.Errorf("%s: %w: lists %s, not %s", what, ErrDisorder, st.Succ, MakeList(want...))
	}
	return nil
}

// onNotified checks Rectify for all predecessors and notifiers.
func (s *space) onNotified(ring Ring, t State) error {
	for _, pred := range s.ids {
		if pred == t.Self {
			continue
		}
		for k := range ring {
			by := ring[k].Self
			if by == t.Self {
				continue
			}
			before := t
			before.Pred = pred
			got := s.rectify(before, by, ring.Live(pred))
			want := before
			if Between(pred, by, t.Self) || !ring.Live(pred) {
				want.Pred = by
			}
			if s.steps++; got != want {
				return fmt.Errorf("Rectify: predecessor %s notified by %s: %w: %s", pred.Short(), by.Short(), ErrNoPredecessor, got.Pred.Short())
			}
		}
	}
	return nil
}
