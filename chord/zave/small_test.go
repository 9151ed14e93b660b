package zave

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestSmallModel: in small-ring mode a list is the sorted set of those met and
// not forgotten, seen from its owner, against a model that is a sorted slice.
func TestSmallModel(t *testing.T) {
	const seed = 4
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 4))
	ids := spaced(12, 1<<56)
	for range 2000 {
		r := 2 + rng.IntN(MaxSuccessors-1)
		self := ids[rng.IntN(len(ids))]
		s := Alone(self, r)
		var model []ID // clockwise from self
		for range 40 {
			x := ids[rng.IntN(len(ids))]
			full := !s.Small()
			switch rng.IntN(4) {
			case 0:
				s = Forget(s, x)
				if !full {
					model = slices.DeleteFunc(model, func(id ID) bool { return id == x })
				}
			case 1:
				s = Meet(s, x)
				model = meetModel(model, self, x, full)
			case 3:
				if !full { // a dead predecessor goes
					if n := len(model); n > 0 && x != self {
						model = model[:n-1]
					}
					s = Rectify(s, x, false)
					model = meetModel(model, self, x, full)
				}
			case 2:
				if !full || Between(s.Pred, x, self) {
					s = Rectify(s, x, true)
					model = meetModel(model, self, x, full)
				}
			}
			if !slices.Equal(s.Succ.IDs(), model) {
				t.Fatalf("%v, want %v", s, model)
			}
			if err := s.CheckLocal(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func meetModel(model []ID, self, x ID, full bool) []ID {
	if full || x == self || slices.Contains(model, x) {
		return model
	}
	model = append(slices.Clone(model), x)
	slices.SortFunc(model, func(a, b ID) int { return self.Distance(a).Compare(self.Distance(b)) })
	return model
}

// tell is one round of member i in a ring of any size, as the node runs it: it
// asks everybody in its list and everybody that an answer names, drops who is
// dead and meets who is live; then it stabilises.
func (w *world) tell(i int) {
	self := w.ring[i].Self
	asked := map[ID]bool{self: true}
	queue := slices.Clone(w.ring[i].Succ.IDs())
	for len(queue) > 0 && w.ring[i].Small() {
		x := queue[0]
		queue = queue[1:]
		if asked[x] {
			continue
		}
		asked[x] = true
		if s, ok := w.ring.Get(x); ok {
			w.ring[i] = Meet(w.ring[i], x)
			queue = append(append(queue, s.Succ.IDs()...), s.Pred)
		} else {
			w.ring[i] = Forget(w.ring[i], x)
		}
	}
	step := w.stabilize(w.ring, i)
	w.ring[i] = step.State
	if step.Short {
		w.ring[i] = Shrink(w.ring[i], w.ring.Live)
	}
	if step.HasCandidate {
		step = w.proceed(w.ring, i, step.Candidate)
		w.ring[i] = step.State
	}
	if step.HasNotify {
		w.notify(w.ring, step.Notify, self)
	}
}

// TestSmallRings: rings of 1 to 2r+3 members grow and shrink, one or a few at a
// time, across the border of small-ring mode in both directions. After each
// change a few rounds lead to the ideal ring, in which a member is in the mode
// exactly if the ring has at most r members.
func TestSmallRings(t *testing.T) {
	worst := 0
	for _, r := range []int{2, 3, 8} {
		for seed := range uint64(25) {
			w := newWorld(real(), r, 1, 200+seed)
			for range 40 {
				grow := len(w.ring) == 1 || len(w.ring) < 2*r+3 && w.rng.IntN(2) == 0
				for range 1 + w.rng.IntN(3) {
					if grow {
						w.admitOne()
					} else if len(w.ring) > 1 && w.anyOf(1) {
						break
					}
				}
				rounds := w.settle(t)
				worst = max(worst, rounds)
				for i := range w.ring {
					if got, want := w.ring[i].Small(), len(w.ring) <= r; got != want {
						t.Fatalf("seed %d, r = %d, %d members: small-ring mode %v", 200+seed, r, len(w.ring), got)
					}
				}
			}
		}
	}
	t.Logf("r = 2, 3 and 8, 25 seeds from 200 on, 40 changes each: ideal after %d rounds at most", worst)
}

// admitOne lets somebody join, and the member that admits it meet it.
func (w *world) admitOne() {
	i := w.joinOne()
	if i < 0 {
		return
	}
	m, _ := w.ring.Get(w.ring[i].Pred)
	*m = Meet(*m, w.ring[i].Self)
}

// anyOf removes n random members at once, as long as every member left knows a
// live one. It reports whether it did.
func (w *world) anyOf(n int) bool {
	for range n {
		i := w.rng.IntN(len(w.ring))
		rest := append(slices.Clone(w.ring[:i]), w.ring[i+1:]...)
		for k := range rest {
			if _, ok := rest.Best(&rest[k]); !ok && len(rest) > 1 {
				return false
			}
		}
		w.ring = rest
	}
	return true
}

func (w *world) settle(t *testing.T) int {
	t.Helper()
	for round := 0; ; round++ {
		err := w.ring.Ideal()
		if err == nil {
			return round
		}
		if round == 40 {
			t.Fatalf("after %d rounds: %v\n%v", round, err, w.ring)
		}
		for _, i := range w.rng.Perm(len(w.ring)) {
			w.tell(i)
			if err := w.ring[i].CheckLocal(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestMergeKeepsInvariant: two rings that a partition made are merged by asking
// dead entries: whoever answers and lies before the head is a candidate. No
// such step costs a principal or leaves anybody without a live successor, and
// in the end there is one ideal ring.
func TestMergeKeepsInvariant(t *testing.T) {
	worst := 0
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 6))
		const r, n = 3, 24
		ids := spaced(n, 1<<56)
		var sides [2][]ID
		for _, id := range ids {
			k := rng.IntN(2)
			sides[k] = append(sides[k], id)
		}
		if len(sides[0]) <= r || len(sides[1]) <= r {
			continue
		}
		w := &world{protocol: real(), rng: rng, r: r}
		w.ring = NewRing(slices.Concat(IdealRing(r, sides[0]...), IdealRing(r, sides[1]...))...)
		whole := IdealRing(r, ids...)
		principals, _ := w.ring.Principals()
		for round := 0; w.ring.Ideal() != nil; round++ {
			if round > 4*n {
				t.Fatalf("seed %d: %v", seed, w.ring.Ideal())
			}
			worst = max(worst, round+1)
			for _, i := range rng.Perm(n) {
				for _, x := range whole[i].Succ.IDs() { // those that it listed before the partition
					if c, ok := w.ring.Get(x); ok && Candidate(&w.ring[i], x) {
						step := CandidateLive(w.ring[i], c.View())
						w.ring[i] = step.State
						w.notify(w.ring, step.Notify, step.State.Self)
					}
				}
				w.whole(w.ring, i)
				if err := w.ring.CheckMember(&w.ring[i]); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				count, _ := w.ring.Principals()
				if count < principals {
					t.Fatalf("seed %d: %d principals, %d before", seed, count, principals)
				}
				principals = count
			}
		}
		if err := w.ring.Check(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
	t.Logf("24 members on two sides, r = 3: one ideal ring after %d rounds at most", worst)
}

// TestShortCandidate: a member alone that comes between a full member and its
// head costs nobody its place.
func TestShortCandidate(t *testing.T) {
	ids := spaced(6, 1<<56)
	ring := IdealRing(3, ids[0], ids[2], ids[3], ids[4], ids[5])
	step := CandidateLive(ring[0], viewAlone(ids[1], 3))
	want := MakeList(ids[1], ids[2], ids[3])
	if step.State.Succ != want || step.Notify != ids[1] {
		t.Errorf("%v notifies %s, want the list %s", step.State, step.Notify.Short(), want)
	}
	step = SuccessorLive(step.State, viewAlone(ids[1], 3))
	if !step.Short || step.State.Succ != want {
		t.Errorf("%+v, want the list to stay until it is checked", step)
	}
}

// viewAlone returns the view of a member alone.
func viewAlone(id ID, r int) View {
	s := Alone(id, r)
	return s.View()
}

func BenchmarkStabilize(b *testing.B) {
	ring := IdealRing(8, spaced(20, 1<<56)...)
	v := ring[1].View()
	b.ReportAllocs()
	for b.Loop() {
		if step := SuccessorLive(ring[0], v); !step.HasNotify {
			b.Fatal("not complete")
		}
	}
}
