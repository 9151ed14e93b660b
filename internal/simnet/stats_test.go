package simnet

import (
	"math"
	"testing"
	"time"
)

// TestEveryByteCounts: what all types of message take together is what routing,
// membership and records take; no message is in none of them.
func TestEveryByteCounts(t *testing.T) {
	for name, cfg := range map[string]Config{
		"churn": {Nodes: 30, Lookups: 60, Session: 60 * time.Second, Loss: 0.02, NAT: 0.2, Seed: 41},
		"large": {Nodes: 80, Members: 48, Lookups: 60, Session: 2 * time.Minute, Settled: true, Seed: 42},
	} {
		cfg.Warmup, cfg.Duration = 6*time.Second, 8*time.Second
		r := run(t, cfg)
		if r.Refusals["not_counted"] > 0 || r.Refusals["not_encodable"] > 0 {
			t.Errorf("%s: %v", name, r.Refusals)
		}
		all := 0.0
		for _, m := range r.Messages {
			all += m.PerS * m.Bytes
		}
		b := r.BytesPerSNode
		if got := b.Routing + b.Membership + b.Records; math.Abs(all-got) > 0.02*all || b.Routing == 0 || b.Membership == 0 || b.Records == 0 {
			t.Errorf("%s: all messages take %.1f B/s, %+v", name, all, b)
		}
	}
}
