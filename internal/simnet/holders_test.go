package simnet

import (
	"math"
	"testing"
)

// TestHolders: bad holders never put another key in the place of the right one,
// and a reading is refused as often as the hypergeometric distribution says that
// too many are bad.
func TestHolders(t *testing.T) {
	const trials = 400
	got, err := HolderTrials(4, 10, 64, []int{0, 16, 32, 40, 64}, trials, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range got {
		want := h.PredictRefused()
		t.Logf("%d of %d bad: %.3f refused, %.3f predicted; unsigned shares would be hijacked in %.3f", h.Bad, h.Ring, float64(h.Refused)/trials, want, h.PredictUnsigned())
		if h.Hijacked > 0 {
			t.Errorf("%d bad: %d readings gave another key", h.Bad, h.Hijacked)
		}
		if off := math.Abs(float64(h.Refused)/trials - want); off > 4*math.Sqrt(want*(1-want)/trials)+1e-9 {
			t.Errorf("%d bad: %d of %d refused, %.3f predicted", h.Bad, h.Refused, trials, want)
		}
	}
}

// TestPlainChord: what we compare with is what the literature reports: half of
// log2 N hops (Chord, SIGCOMM 2001), and a third, a seventh and a fourteenth of
// the look-ups right with 12, 22 and 30 % bad nodes of a hundred thousand.
func TestPlainChord(t *testing.T) {
	for _, n := range []int{100, 1000, 10_000} {
		if _, hops := PlainChord(n, 2000, 0, 1); math.Abs(hops-math.Log2(float64(n))/2) > 0.6 {
			t.Errorf("%d nodes: %.2f hops, not about %.2f", n, hops, math.Log2(float64(n))/2)
		}
	}
	half := 0.0
	for _, bad := range []float64{0, 0.1, 0.2, 0.3} {
		success, _ := PlainChord(10_000, 2000, bad, 1)
		if bad == 0 && success != 1 || bad > 0 && success >= half {
			t.Errorf("%.0f %% bad: %.3f right", 100*bad, success)
		}
		half = success
	}
}
