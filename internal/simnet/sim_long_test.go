//go:build long

package simnet

import (
	"math"
	"testing"
	"time"
)

// TestLongSimChurn: a thousand nodes whose median session is 84 s, for ten minutes
// and a thousand resolutions. What a node sends to keep its place and to look up
// stays within the 900 bytes a second that such a ring may cost.
func TestLongSimChurn(t *testing.T) {
	s, err := New(Config{Session: 84 * time.Second, Lookups: 1050, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	r := s.Run(t.Context())
	b := r.BytesPerSNode
	t.Logf("seed 1: %d of %d right (95 %%: from %.4f); bytes/s a node: routing %.0f, membership %.0f, certificates %.0f, handshakes %.0f, records %.0f; %.0f s of wall time, %.0f MiB",
		r.ResolvedRight, r.Lookups, r.SuccessInterval[0], b.Routing, b.Membership, r.Certificates, b.Handshakes, b.Records, r.WallS, r.RSSMiB)
	if r.Success < 0.999 || r.Lookups < 1000 || r.ResolvedWrong > 0 {
		t.Errorf("%d of %d right, %d wrong", r.ResolvedRight, r.Lookups, r.ResolvedWrong)
	}
	if b.Routing+b.Membership >= 900 {
		t.Errorf("%.0f bytes a second", b.Routing+b.Membership)
	}
}

// TestLongSimCalm: two thousand nodes with sessions of 174 minutes for twenty
// minutes, a hundred thousand look-ups: nearly all right, at 4 kbit/s a node.
func TestLongSimCalm(t *testing.T) {
	r := run(t, Config{
		Nodes: 2000, Session: 174 * time.Minute, Lookups: 100_000, Warmup: 2 * time.Minute, Duration: 20 * time.Minute, Plain: true, Seed: 1,
	})
	t.Logf("seed 1: %d of %d right (95 %%: from %.5f), hops %.2f; membership %.0f B/s a node", r.ResolvedRight, r.Lookups, r.SuccessInterval[0], r.HopsMean, r.BytesPerSNode.Membership)
	if r.Success < 0.9999 || r.BytesPerSNode.Membership > 500 {
		t.Errorf("%d of %d right, membership %.0f B/s", r.ResolvedRight, r.Lookups, r.BytesPerSNode.Membership)
	}
}

// TestLongSimHundredThousand: a ring of that size has short look-ups with bounded
// tables.
func TestLongSimHundredThousand(t *testing.T) {
	s, err := New(Config{Nodes: 100_000, RoutingOnly: true, Lookups: 10_000, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	r := s.Run(t.Context())
	t.Logf("seed 1: %d of %d right, %.2f hops, half of log2 is %.2f; %.0f s of wall time, %.0f MiB", r.ResolvedRight, r.Lookups, r.HopsMean, math.Log2(1e5)/2, r.WallS, r.RSSMiB)
	if r.Success < 0.999 || r.HopsMean > 3 || r.RSSMiB > 16<<10 {
		t.Errorf("%d of %d right, %.2f hops, %.0f MiB", r.ResolvedRight, r.Lookups, r.HopsMean, r.RSSMiB)
	}
}
