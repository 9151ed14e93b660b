package chord

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/wire"
)

// TestPowerCut: all nodes stop at once and start again with nothing but the
// peers that they knew; nobody is there to create the ring.
func TestPowerCut(t *testing.T) {
	for _, n := range []int{2, 8, 40} {
		bubble(t, 90+uint64(n), func(t *testing.T, w *virtual) {
			w.ring(n)
			w.await(5*time.Second, w.ideal)
			pause(t.Context(), 30*time.Second)
			known := map[ID][]wire.Peer{}
			for _, v := range w.live() {
				known[v.self.ID] = v.Known()
			}
			w.close()
			start := time.Now()
			for id, peers := range known {
				v := w.start(id, id[0], nil)
				go func() {
					for v.Join(t.Context(), peers) != nil && t.Context().Err() == nil {
						pause(t.Context(), 300*time.Millisecond)
					}
				}()
			}
			w.await(10*time.Second, func() error {
				if len(w.live()) < n {
					return fmt.Errorf("%d of %d", len(w.live()), n)
				}
				return w.ideal()
			})
			t.Logf("%d nodes: ideal %v after all started", n, time.Since(start))
		})
	}
}

// TestQuickRestart: a node that comes back before anybody has noticed that it
// was gone is a member again.
func TestQuickRestart(t *testing.T) {
	for _, n := range []int{2, 5, 20} {
		bubble(t, 95+uint64(n), func(t *testing.T, w *virtual) {
			nodes := w.ring(n)
			w.await(5*time.Second, w.ideal)
			pause(t.Context(), time.Minute)
			v := nodes[n/2]
			known := v.Known()
			w.crash(v)
			v = w.start(v.self.ID, v.self.Owner[0], nil)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if err := v.Join(ctx, known); err != nil {
				t.Fatal(err)
			}
			took := w.await(10*time.Second, w.ideal)
			t.Logf("%d nodes: ideal %v after the restart", n, took)
		})
	}
}

// TestRestartWithNothing: a node that comes back before it was missed, and has
// lost what it held, puts nothing out of reach, and at once every record lies
// again with both of its holders.
func TestRestartWithNothing(t *testing.T) {
	for i := range uint64(12) {
		n := []int{2, 3, 12, 20}[i%4]
		bubble(t, 110+i, func(t *testing.T, w *virtual) {
			nodes := w.ring(n)
			w.await(5*time.Second, w.ideal)
			recs := w.fill(60)
			pause(t.Context(), 10*time.Second)
			v := nodes[n/2]
			known := v.Known()
			w.crash(v)
			v = w.start(v.self.ID, v.self.Owner[0], nil)
			if err := v.Join(t.Context(), known); err != nil {
				t.Fatal(err)
			}
			if lost, _ := w.fetchAll(recs); lost > 0 {
				t.Errorf("%d records out of reach", lost)
			}
			took := w.await(5*time.Second, func() error { return w.placed(recs) })
			t.Logf("%d nodes: all in place %v after the restart", n, took)
		})
	}
}

// TestNobodyThere: joining where nobody answers fails, and says so; a ring of
// one's own is found by the others later.
func TestNobodyThere(t *testing.T) {
	bubble(t, 99, func(t *testing.T, w *virtual) {
		a, b := w.start(w.randomID(), 1, nil), w.start(w.randomID(), 2, nil)
		gone := vpeer(w.randomID(), 3)
		if err := a.Join(t.Context(), []wire.Peer{gone}); err != ErrNoPeers {
			t.Fatalf("%v, want ErrNoPeers", err)
		}
		if _, err := a.Lookup(t.Context(), w.randomID()); err != ErrNotJoined {
			t.Fatalf("%v, want ErrNotJoined", err)
		}
		a.Create(gone, b.self)
		b.Create(gone)
		took := w.await(time.Minute, w.ideal)
		t.Logf("two rings of one: merged after %v", took)
	})
}
