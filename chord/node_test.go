package chord

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/wire"
)

func bubble(t *testing.T, seed uint64, test func(t *testing.T, w *virtual)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newVirtual(t, seed)
		defer w.close()
		test(t, w)
	})
}

func TestRingBecomesIdeal(t *testing.T) {
	for _, n := range []int{1, 2, 3, 5, 8, 9, 10, 32, 50} {
		bubble(t, uint64(n), func(t *testing.T, w *virtual) {
			start := time.Now()
			w.ring(n)
			joined := time.Since(start)
			took := w.await(2*time.Second, w.ideal)
			t.Logf("%d nodes: joined after %v, ideal %v later", n, joined, took)
			for _, v := range w.live() {
				if st := v.Status(); st.Small != (n <= 8) || st.Phase != PhaseJoined {
					t.Errorf("%d nodes: %+v", n, st)
				}
			}
		})
	}
}

// TestIdleRing: a ring at rest costs next to nothing, and knows that it is
// ideal and complete.
func TestIdleRing(t *testing.T) {
	for _, n := range []int{1, 8, 20} {
		bubble(t, 70+uint64(n), func(t *testing.T, w *virtual) {
			w.ring(n)
			pause(t.Context(), time.Minute)
			before := w.total()
			pause(t.Context(), 2*time.Minute)
			rate := float64(w.total()-before) / 120 / float64(n)
			t.Logf("%d nodes at rest: %.2f calls per second and node", n, rate)
			if rate > 4 {
				t.Errorf("%.2f calls per second and node", rate)
			}
			for _, v := range w.live() {
				if st := v.Status(); !st.Ideal || !st.Whole || st.Members != n {
					t.Errorf("%+v", st)
				}
			}
		})
	}
}

func (w *virtual) total() (sum int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.calls {
		sum += n
	}
	return sum / 2 // requests and answers
}

// oracle returns the node responsible for target.
func oracle(nodes []*vnode, target ID) ID {
	for _, v := range nodes {
		if v.self.ID.Compare(target) >= 0 {
			return v.self.ID
		}
	}
	return nodes[0].self.ID
}

// TestLookupsEqualOracle: every look-up in a ring that is ideal finds the node
// that a sorted list of all says, in one hop once the tables are complete.
func TestLookupsEqualOracle(t *testing.T) {
	for _, n := range []int{1, 2, 7, 9, 50} {
		bubble(t, 20+uint64(n), func(t *testing.T, w *virtual) {
			w.ring(n)
			w.await(5*time.Second, w.ideal)
			early := w.lookups(200)
			w.await(20*time.Second, func() error {
				for _, v := range w.live() {
					if st := v.Status(); !st.Whole || st.Members != n {
						return fmt.Errorf("%s knows %d of %d members", st.Self.ID.Short(), st.Members, n)
					}
				}
				return nil
			})
			late := w.lookups(200)
			t.Logf("%d nodes: %.2f hops at first, %.2f with complete tables", n, early, late)
			if late > 1 {
				t.Errorf("%.2f hops", late)
			}
		})
	}
}

// lookups makes count look-ups and returns the mean number of hops.
func (w *virtual) lookups(count int) float64 {
	w.t.Helper()
	nodes := w.live()
	hops := 0
	for i := range count {
		target := w.randomID()
		if i%10 == 0 {
			target = nodes[i%len(nodes)].self.ID
		}
		r, err := nodes[i%len(nodes)].Lookup(w.t.Context(), target)
		if err != nil {
			w.t.Fatalf("look-up of %s: %v", target.Short(), err)
		}
		if want := oracle(nodes, target); r.Responsible.ID != want {
			w.t.Fatalf("%s is %s's, not %s's", target.Short(), want.Short(), r.Responsible.ID.Short())
		}
		hops += len(r.Hops)
	}
	return float64(hops) / float64(count)
}

// TestLookupsWithoutTable: fingers and next hops alone lead to the responsible
// node; the table holds too few members to know the ring.
func TestLookupsWithoutTable(t *testing.T) {
	bubble(t, 31, func(t *testing.T, w *virtual) {
		const n = 64
		small := func(c *Config) { c.Members = 32 }
		first := w.start(w.randomID(), 0, small)
		first.Create()
		var joins sync.WaitGroup
		for i := 1; i < n; i++ {
			v := w.start(w.randomID(), byte(i), small)
			joins.Go(func() {
				if err := v.Join(t.Context(), []wire.Peer{first.self}); err != nil {
					t.Error(err)
				}
			})
		}
		joins.Wait()
		w.await(10*time.Second, w.ideal)
		pause(t.Context(), 8*time.Second)
		t.Logf("%d nodes, tables of 32: %.2f hops", n, w.lookups(200))
	})
}

// stored is a record that a test has put on the ring.
type stored struct {
	rec record.Record
	res ID
	pos ID
	seq uint64
}

// fill stores count shares, each of which has exactly one place.
func (w *virtual) fill(count int) []stored {
	w.t.Helper()
	nodes := w.live()
	var out []stored
	for i := range count {
		s := share(w.t, fmt.Sprintf("user%d", i/10), uint64(i%10+1), 1)
		holders, err := nodes[i%len(nodes)].Store(w.t.Context(), s.pos, s.rec)
		if err != nil {
			w.t.Fatalf("store: %v", err)
		}
		if want := min(copies, len(nodes)); len(holders) != want {
			w.t.Errorf("stored at %d nodes, not %d", len(holders), want)
		}
		if r := oracle(nodes, s.pos); holders[0].Peer.ID != r && (len(holders) < 2 || holders[1].Peer.ID != r) {
			w.t.Errorf("not stored at the responsible node")
		}
		out = append(out, s)
	}
	return out
}

// fetchAll fetches every record from some node and returns how many are lost.
func (w *virtual) fetchAll(recs []stored) (lost int, slowest time.Duration) {
	w.t.Helper()
	nodes := w.live()
	for i, s := range recs {
		start := time.Now()
		a, err := nodes[i%len(nodes)].Fetch(w.t.Context(), s.pos, s.res, nil)
		slowest = max(slowest, time.Since(start))
		if err != nil || len(a.Records) == 0 {
			lost++
			w.t.Logf("position %s: %v, %+v", s.pos.Short(), err, a.Holder)
		}
	}
	return lost, slowest
}

// placed returns what keeps the records from being exactly where they belong:
// at the responsible node and its first successor of another owner.
func (w *virtual) placed(recs []stored) error {
	nodes := w.live()
	for _, s := range recs {
		i := slices.IndexFunc(nodes, func(v *vnode) bool { return v.self.ID == oracle(nodes, s.pos) })
		for k := range min(copies, len(nodes)) {
			v := nodes[(i+k)%len(nodes)]
			if len(v.store.Get(s.res, nil)) == 0 {
				return fmt.Errorf("%s is not at %s, holder %d", s.pos.Short(), v.self.ID.Short(), k)
			}
		}
	}
	return nil
}

// TestRecordsSurviveCrashes: whatever a crash leaves with one holder is soon
// with two again; a dead responsible node is passed by at once.
func TestRecordsSurviveCrashes(t *testing.T) {
	bubble(t, 41, func(t *testing.T, w *virtual) {
		w.ring(50)
		w.await(5*time.Second, w.ideal)
		recs := w.fill(200)
		for round := range 3 {
			nodes := w.live()
			victims := []*vnode{nodes[round], nodes[round+15], nodes[round+30]}
			for _, v := range victims {
				w.crash(v)
			}
			lost, slowest := w.fetchAll(recs)
			if lost > 0 || slowest > time.Second {
				t.Errorf("round %d: %d records lost, slowest fetch %v", round, lost, slowest)
			}
			took := w.await(15*time.Second, func() error {
				if err := w.ideal(); err != nil {
					return err
				}
				return w.placed(recs)
			})
			t.Logf("round %d: three crashed; slowest fetch %v, repaired after %v", round, slowest, took)
		}
	})
}

// TestHandover: nodes come and go properly, and no record is ever out of reach.
func TestHandover(t *testing.T) {
	for _, n := range []int{1, 3, 16} {
		bubble(t, 50+uint64(n), func(t *testing.T, w *virtual) {
			w.ring(n)
			w.await(5*time.Second, w.ideal)
			recs := w.fill(60)
			for i := range 12 {
				seed := w.live()[i%n].self
				v := w.start(w.randomID(), byte(100+i), nil)
				if err := v.Join(t.Context(), []wire.Peer{seed}); err != nil {
					t.Fatal(err)
				}
				if lost, _ := w.fetchAll(recs); lost > 0 {
					t.Errorf("%d nodes: join %d: %d records out of reach", n, i, lost)
				}
			}
			w.await(15*time.Second, func() error { return w.placed(recs) })
			for i := range 12 {
				nodes := w.live()
				v := nodes[(7*i)%len(nodes)]
				if err := v.Leave(t.Context()); err != nil {
					t.Fatal(err)
				}
				w.crash(v)
				if lost, slowest := w.fetchAll(recs); lost > 0 || slowest > time.Second {
					t.Errorf("%d nodes: leave %d: %d records out of reach, slowest fetch %v", n, i, lost, slowest)
				}
			}
			w.await(15*time.Second, func() error {
				if err := w.ideal(); err != nil {
					return err
				}
				return w.placed(recs)
			})
		})
	}
}

// TestLeaverLeavesNothingBehind: when a leaving node has said goodbye, all that
// it kept lies with both future holders of every place, before anybody has done
// anything about it.
func TestLeaverLeavesNothingBehind(t *testing.T) {
	for _, n := range []int{2, 3, 12, 24} {
		bubble(t, 130+uint64(n), func(t *testing.T, w *virtual) {
			w.ring(n)
			w.await(5*time.Second, w.ideal)
			recs := w.fill(80)
			for i := range n - 1 {
				w.await(30*time.Second, w.ideal)
				pause(t.Context(), 10*time.Second) // who leaves while a neighbour's leaving is being made good cannot know of it
				v := w.live()[(5*i)%(n-i)]
				if err := v.Leave(t.Context()); err != nil {
					t.Fatal(err)
				}
				w.crash(v)
				if err := w.placed(recs); err != nil {
					t.Fatalf("%d nodes: leave %d: %v", n, i, err)
				}
			}
		})
	}
}

// TestKillThirty: with 30 % of the nodes dead at once the rest is one ring
// again within seconds.
func TestKillThirty(t *testing.T) {
	bubble(t, 61, func(t *testing.T, w *virtual) {
		nodes := w.ring(50)
		w.await(5*time.Second, w.ideal)
		pause(t.Context(), time.Minute) // at rest
		rng := rand.New(rand.NewPCG(61, 0))
		for _, i := range rng.Perm(len(nodes))[:15] {
			w.crash(nodes[i])
		}
		took := w.await(15*time.Second, w.ideal)
		t.Logf("15 of 50 killed: ideal after %v; %.2f hops", took, w.lookups(200))
	})
}

// TestLossyNetwork: calls that get lost evict nobody for long.
func TestLossyNetwork(t *testing.T) {
	bubble(t, 62, func(t *testing.T, w *virtual) {
		w.latency = 40 * time.Millisecond
		w.loss = 0.05
		w.ring(20)
		pause(t.Context(), 20*time.Second)
		w.mu.Lock()
		w.loss = 0
		w.mu.Unlock()
		took := w.await(20*time.Second, w.ideal)
		t.Logf("10 %% of calls lost for 20 s: ideal %v after", took)
	})
}

// TestPartition: two halves that could not see each other become one ring
// again, with all that both of them hold.
func TestPartition(t *testing.T) {
	for _, n := range []int{2, 6, 24} {
		bubble(t, 80+uint64(n), func(t *testing.T, w *virtual) {
			w.ring(n)
			w.await(5*time.Second, w.ideal)
			recs := w.fill(40)
			w.mu.Lock()
			for i, id := range sortedIDs(w.nodes) {
				w.side[id] = i % 2
			}
			w.mu.Unlock()
			pause(t.Context(), time.Minute)
			for side := range 2 {
				half := w.sideOf(side)
				if err := idealRing(half); err != nil {
					t.Errorf("side %d: %v", side, err)
				}
			}
			w.mu.Lock()
			clear(w.side)
			w.mu.Unlock()
			took := w.await(90*time.Second, w.ideal)
			lost, _ := w.fetchAll(recs)
			t.Logf("%d nodes: one ring %v after the partition healed", n, took)
			if lost > 0 {
				t.Errorf("%d records lost", lost)
			}
			w.await(15*time.Second, func() error { return w.placed(recs) })
		})
	}
}

func (w *virtual) sideOf(side int) (out []*vnode) {
	for _, v := range w.live() {
		if w.side[v.self.ID] == side {
			out = append(out, v)
		}
	}
	return out
}

func sortedIDs(nodes map[ID]*vnode) (ids []ID) {
	for id := range nodes {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, ID.Compare)
	return ids
}
