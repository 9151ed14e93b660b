package simnet

import (
	"testing"
	"time"
)

// TestSettled: a ring that stands from the start is whole, and stays so while nodes
// come and go.
func TestSettled(t *testing.T) {
	r := run(t, Config{Nodes: 60, Lookups: 100, Session: 3 * time.Minute, Settled: true, Plain: true, Warmup: 5 * time.Second, Duration: 20 * time.Second, Seed: 31})
	if r.Success < 0.99 || r.Deaths == 0 {
		t.Errorf("%d of %d look-ups right; %d nodes died", r.ResolvedRight, r.Lookups, r.Deaths)
	}
	r = run(t, Config{Nodes: 24, Lookups: 60, Settled: true, Warmup: 10 * time.Second, Duration: 10 * time.Second, Seed: 32})
	if r.Success != 1 {
		t.Errorf("%d of %d names resolved: %v", r.ResolvedRight, r.Lookups, r.Refusals)
	}
}

// TestFullTables: where the ring is larger than the tables, what one lacks is not
// fetched from the others again and again.
func TestFullTables(t *testing.T) {
	r := run(t, Config{Nodes: 300, Members: 160, Lookups: 100, Session: 174 * time.Minute, Settled: true, Plain: true, Warmup: 10 * time.Second, Duration: 30 * time.Second, Seed: 33})
	if r.Success < 0.99 || r.Messages["Members"].PerS > 0.02 || r.BytesPerSNode.Membership > 400 {
		t.Errorf("%d of %d look-ups right; membership %.0f B/s, %+v", r.ResolvedRight, r.Lookups, r.BytesPerSNode.Membership, r.Messages["Members"])
	}
	t.Logf("seed 33: membership %.0f B/s, %.2f hops", r.BytesPerSNode.Membership, r.HopsMean)
}
