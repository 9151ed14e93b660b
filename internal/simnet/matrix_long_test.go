//go:build long

package simnet

import (
	"testing"
	"time"
)

// TestLongMatrixC2Droppers: 30 % of a hundred thousand nodes answer nothing, and
// nobody knows more than 2,048 others.
func TestLongMatrixC2Droppers(t *testing.T) {
	r := run(t, Config{Nodes: 100_000, Names: 64, Lookups: 1000, Duration: 10 * time.Minute, RoutingOnly: true, Attack: Drop, Bad: 0.3, Seed: 21})
	if r.Attacks == 0 || r.Success < 0.99 || r.ResolvedWrong > 0 {
		t.Errorf("%d of %d right: %v", r.ResolvedRight, r.Lookups, r.Refusals)
	}
	t.Logf("matrix: C2 100,000 nodes, 30 %% drop: %d of %d found, %d wrong; %d drops", r.ResolvedRight, r.Lookups, r.ResolvedWrong, r.Attacks)
}

// TestLongMatrixC2DroppersFromTheStart: 20 % of a thousand nodes drop in a ring
// that has lived under the attack from its first node on.
func TestLongMatrixC2DroppersFromTheStart(t *testing.T) {
	r := run(t, Config{Nodes: 1000, Lookups: 1000, Duration: 2 * time.Minute, Warmup: 30 * time.Second, Attack: Drop, Bad: 0.2, Seed: 22})
	if r.Attacks == 0 || r.Success < 0.995 || r.ResolvedWrong > 0 {
		t.Errorf("%d of %d right: %v", r.ResolvedRight, r.Lookups, r.Refusals)
	}
	t.Logf("matrix: C2 1,000 living nodes, 20 %% drop: %d of %d found", r.ResolvedRight, r.Lookups)
}

// TestLongMatrixC5LossAtRest is TestMatrixC5LossAtRest with more seeds.
func TestLongMatrixC5LossAtRest(t *testing.T) {
	lossAtRest(t, 60, 61, 62, 63, 64, 65, 66, 67, 68, 69, 70, 71)
}

// TestLongMatrixC1Liars: liars of each kind in a ring of ten thousand whose nodes
// know 2,048 others.
func TestLongMatrixC1Liars(t *testing.T) {
	for _, attack := range []Attack{Goose, Lie, Collude} {
		r := run(t, Config{Nodes: 10_000, Names: 64, Lookups: 500, Duration: 10 * time.Minute, RoutingOnly: true, Attack: attack, Bad: 0.3, Seed: 23})
		if r.Attacks == 0 || r.ResolvedWrong > 0 || r.LongestMS > 3000 {
			t.Errorf("%s: %d wrong, the longest look-up took %.0f ms", attack, r.ResolvedWrong, r.LongestMS)
		}
		t.Logf("matrix: C1 %s, 30 %% of 10,000: wrong 0 of %d, refused %d, longest %.2f s", attack, r.Lookups, r.Refused, r.LongestMS/1000)
	}
}

// TestLongMatrixH2Verifications is TestMatrixH2Verifications up to ten thousand
// nodes, with the product's tables.
func TestLongMatrixH2Verifications(t *testing.T) {
	var at []Verification
	for _, n := range VerifySizes() {
		v, err := Verify(t.Context(), n, 0, 100, 61)
		if err != nil {
			t.Fatal(err)
		}
		at = append(at, v)
	}
	for _, v := range at {
		if limit := verifications(v.Nodes); v.Mean > limit || v.Right < 1 {
			t.Errorf("%d nodes: %.1f verifications, more than %.1f; %.3f right", v.Nodes, v.Mean, limit, v.Right)
		}
		t.Logf("matrix: H2 %d nodes: %.1f verifications", v.Nodes, v.Mean)
	}
}
