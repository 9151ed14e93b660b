package zave

import (
	"fmt"
	"math/rand/v2"
)

// protocol is the operations under test: the package's own, or a mutant's.
type protocol struct {
	join          func(ID, View) (State, bool)
	successorLive func(State, View) Step
	successorDead func(State) Step
	candidateLive func(State, View) Step
	rectify       func(State, ID, bool) State
}

func real() protocol {
	return protocol{Join, SuccessorLive, SuccessorDead, CandidateLive, Rectify}
}

// stabilize is a whole StabilizeFromSuccessor of member i, as one atomic step:
// it reads the others' states in ring.
func (p protocol) stabilize(ring Ring, i int) Step {
	step := Step{State: ring[i], Again: true}
	for first := true; step.Again; first = false {
		head, ok := ring.Get(step.State.Head())
		switch {
		case !ok && step.State.Succ.Len() > 0 && step.State.Succ.Len() <= MaxSuccessors:
			step = p.successorDead(step.State)
			if dropped(&ring[i], &step.State) > int(ring[i].R) {
				return step // everybody is dead; Check will say so
			}
		case !ok:
			return step
		case first:
			return p.successorLive(step.State, head.View())
		default:
			return SuccessorFound(step.State)
		}
	}
	return step
}

// dropped counts the entries of a that b lacks.
func dropped(a, b *State) (count int) {
	for _, id := range a.Succ.IDs() {
		if !b.Succ.Contains(id) {
			count++
		}
	}
	if a.Succ.Len() > 0 && count == a.Succ.Len() {
		count++ // padding may hide what was dropped since
	}
	return count
}

// proceed is StabilizeFromPredecessor of member i with this candidate.
func (p protocol) proceed(ring Ring, i int, candidate ID) Step {
	if c, ok := ring.Get(candidate); ok {
		return p.candidateLive(ring[i], c.View())
	}
	return CandidateDead(ring[i])
}

// notify delivers a notification to its target, if that lives.
func (p protocol) notify(ring Ring, target, from ID) {
	if s, ok := ring.Get(target); ok {
		*s = p.rectify(*s, from, ring.Live(s.Pred))
	}
}

// whole runs all of member i's stabilisation, the notification included.
func (p protocol) whole(ring Ring, i int) {
	step := p.stabilize(ring, i)
	ring[i] = step.State
	if step.HasCandidate {
		step = p.proceed(ring, i, step.Candidate)
		ring[i] = step.State
	}
	if step.HasNotify {
		p.notify(ring, step.Notify, ring[i].Self)
	}
}

// world is a ring under random operations, interleaved: a candidate waits to be
// asked and a notification to be delivered while others go on.
type world struct {
	protocol
	rng        *rand.Rand
	ring       Ring
	r          int
	candidates map[ID]ID
	notes      []note
	joins      int
	fails      int
}

type note struct{ to, from ID }

func newWorld(p protocol, r, n int, seed uint64) *world {
	w := &world{protocol: p, rng: rand.New(rand.NewPCG(seed, 2)), r: r, candidates: map[ID]ID{}}
	ids := make([]ID, n)
	for i := range ids {
		ids[i] = w.id()
	}
	w.ring = IdealRing(r, ids...)
	return w
}

func (w *world) id() ID {
	var id ID
	for i := range id {
		id[i] = byte(w.rng.Uint32())
	}
	return id
}

// step does one random thing to member i of the ring and returns the index of
// a member whose state it changed, or -1.
func (w *world) step(churn float64, most int) int {
	switch x := w.rng.Float64(); {
	case x < churn/2:
		if len(w.ring) < most {
			return w.joinOne()
		}
		return -1
	case x < churn:
		w.failOne()
		return -1
	case x < churn+0.3 && len(w.notes) > 0:
		k := w.rng.IntN(len(w.notes))
		n := w.notes[k]
		w.notes[k] = w.notes[len(w.notes)-1]
		w.notes = w.notes[:len(w.notes)-1]
		w.notify(w.ring, n.to, n.from)
		i, _ := w.ring.search(n.to)
		return min(i, len(w.ring)-1)
	}
	return w.stabilizeOne(w.rng.IntN(len(w.ring)))
}

func (w *world) stabilizeOne(i int) int {
	self := w.ring[i].Self
	var step Step
	if c, ok := w.candidates[self]; ok {
		delete(w.candidates, self)
		step = w.proceed(w.ring, i, c)
	} else {
		step = w.stabilize(w.ring, i)
	}
	w.ring[i] = step.State
	if step.HasCandidate {
		w.candidates[self] = step.Candidate
	}
	if step.HasNotify {
		w.notes = append(w.notes, note{step.Notify, self})
	}
	return i
}

func (w *world) joinOne() int {
	j := w.id()
	at, _ := w.ring.search(j)
	for back := 1; back <= len(w.ring); back++ { // a member before it lets it in
		m := &w.ring[(at+len(w.ring)-back)%len(w.ring)]
		if s, ok := w.join(j, m.View()); ok {
			w.ring = append(w.ring, State{})
			copy(w.ring[at+1:], w.ring[at:])
			w.ring[at] = s
			w.joins++
			return at
		}
	}
	return -1
}

// failOne removes a random member where Fail allows it: nobody is left without
// a live successor, and r+1 principals remain.
func (w *world) failOne() {
	i := w.rng.IntN(len(w.ring))
	rest := make(Ring, 0, len(w.ring)-1)
	rest = append(append(rest, w.ring[:i]...), w.ring[i+1:]...)
	for k := range rest {
		if rest[k].Succ.Contains(w.ring[i].Self) {
			if _, ok := rest.Best(&rest[k]); !ok {
				return
			}
		}
	}
	if count, _ := rest.Principals(); count <= w.r {
		return
	}
	delete(w.candidates, w.ring[i].Self)
	w.ring = rest
	w.fails++
}

// rounds lets every member stabilise in random order, again and again, until
// the ring is ideal, and returns how many rounds that took.
func (w *world) rounds(most int) (int, error) {
	for _, n := range w.notes {
		w.notify(w.ring, n.to, n.from)
	}
	w.notes = nil
	clear(w.candidates)
	for round := 0; ; round++ {
		err := w.ring.Ideal()
		if err == nil {
			return round, nil
		}
		if round == most {
			return round, fmt.Errorf("after %d rounds: %w", round, err)
		}
		for _, i := range w.rng.Perm(len(w.ring)) {
			w.whole(w.ring, i)
		}
	}
}
