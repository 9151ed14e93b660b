package simnet

import (
	"context"
	"math"
	"time"
)

// Verification is what looking names up costs in a ring of so many nodes.
type Verification struct {
	Nodes int     `json:"nodes"`
	Mean  float64 `json:"verifications"` // signatures that one look-up makes its node check
	Right float64 `json:"right"`         // share of the look-ups
}

// VerifySizes are the sizes of rings that the cost is measured at.
func VerifySizes() []int { return []int{10, 100, 1000, 10_000} }

// Verify resolves names in a still ring of so many nodes, with tables of at most
// so many members (0: the product's bound), each time with empty caches and cold
// links, and counts what is verified.
func Verify(ctx context.Context, nodes, members, lookups int, seed uint64) (Verification, error) {
	s, err := New(Config{
		Nodes: nodes, Members: members, Names: min(nodes, 16), Lookups: lookups, Duration: 5 * time.Minute, RoutingOnly: true, Cold: true, Seed: seed,
	})
	if err != nil {
		return Verification{}, err
	}
	r := s.Run(ctx)
	return Verification{Nodes: nodes, Mean: r.Verifications, Right: r.Success}, ctx.Err()
}

// FitLog returns the least a and b with which a + b·log10 N is nowhere below
// the measured: the line through the first and the steepest that is needed.
func FitLog(at []Verification) (a, b float64) {
	if len(at) == 0 {
		return 0, 0
	}
	first := math.Log10(float64(at[0].Nodes))
	for _, v := range at[1:] {
		if d := math.Log10(float64(v.Nodes)) - first; d > 0 {
			b = max(b, (v.Mean-at[0].Mean)/d)
		}
	}
	return at[0].Mean - b*first, b
}
