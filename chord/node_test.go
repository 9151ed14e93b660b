package chord

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestRingBecomesIdeal(t *testing.T) {
	for _, n := range []int{1, 2, 3, 5, 8, 9, 10, 32, 50} {
		synctest.Test(t, func(t *testing.T) {
			w := newVirtual(t, uint64(n))
			defer w.close()
			start := time.Now()
			w.ring(n)
			joined := time.Since(start)
			took := w.await(20*time.Second, w.ideal)
			t.Logf("%d nodes: joined after %v, ideal %v later", n, joined, took)
		})
	}
}
