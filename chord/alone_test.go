package chord

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"
)

// A fetch whose only call is not answered goes on beside it: the next holder is
// asked long before the call's own time is up, and its answer ends both.
func TestFetchGoesOnBesideACallThatHangs(t *testing.T) {
	bubble(t, 31, func(t *testing.T, w *virtual) {
		w.ring(12)
		w.await(10*time.Second, w.ideal)
		recs := w.fill(10)
		s := recs[3]
		nodes := w.live()
		at := slices.IndexFunc(nodes, func(v *vnode) bool { return v.self.ID == oracle(nodes, s.pos) })
		holder, next, asking := nodes[at], nodes[(at+1)%len(nodes)], nodes[(at+5)%len(nodes)]
		w.crash(holder)
		start := time.Now()
		a, err := asking.Fetch(t.Context(), s.pos, s.res, nil)
		if took := time.Since(start); err != nil || len(a.Records) == 0 || a.Holder.ID != next.self.ID || took > 500*time.Millisecond {
			t.Errorf("%d records of %s after %v, %v", len(a.Records), a.Holder.ID.Short(), took, err)
		}
		// Nobody waits: the call that hangs ends with its caller's patience.
		w.crash(next)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		start = time.Now()
		if _, err := asking.Fetch(ctx, s.pos, s.res, nil); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 10*time.Millisecond {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}
