package simnet

import (
	"math"
	"testing"
)

// H2: what a look-up of a name makes its node verify, with nothing cached and no
// link warm, grows with the logarithm of the ring at most.
func TestMatrixH2Verifications(t *testing.T) {
	var at []Verification
	for _, n := range []int{10, 100, 1000} {
		v, err := Verify(t.Context(), n, 48, 60, 61)
		if err != nil {
			t.Fatal(err)
		}
		at = append(at, v)
	}
	for _, v := range at {
		if limit := verifications(v.Nodes); v.Mean > limit || v.Mean == 0 || v.Right < 1 {
			t.Errorf("%d nodes: %.1f verifications, more than %.1f; %.3f right", v.Nodes, v.Mean, limit, v.Right)
		}
	}
	t.Logf("matrix: H2 verifications of a look-up, tables of 48: %.1f at 10 nodes, %.1f at 100, %.1f at 1,000: at most %.0f + %.0f log10 N", at[0].Mean, at[1].Mean, at[2].Mean, mostA, mostB)
}

// The line that no size of ring may exceed, with tables of 48 members.
const mostA, mostB = -150.0, 200.0

func verifications(nodes int) float64 { return mostA + mostB*math.Log10(float64(nodes)) }
