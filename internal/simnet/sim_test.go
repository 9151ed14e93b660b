package simnet

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"
)

func run(t *testing.T, cfg Config) *Result {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := s.Run(t.Context())
	r.WallS, r.RSSMiB = 0, 0
	return r
}

// TestStillRing: where nobody comes or goes, every look-up is right.
func TestStillRing(t *testing.T) {
	r := run(t, Config{Nodes: 64, Lookups: 500, Duration: 30 * time.Second, Seed: 3, Plain: true})
	if r.Success != 1 || r.Lookups != 500 || r.RoutingExact != 1 {
		t.Errorf("%d of %d look-ups right, %.4f exactly", r.ResolvedRight, r.Lookups, r.RoutingExact)
	}
	if r.HopsMean < 0.5 || r.HopsMean > 1.2 {
		t.Errorf("%.2f hops on average in a ring that every node knows", r.HopsMean)
	}
}

// TestChurn: nodes come and go, and packets are lost.
func TestChurn(t *testing.T) {
	r := run(t, Config{Nodes: 64, Lookups: 500, Session: 84 * time.Second, Duration: 20 * time.Second, Loss: 0.02, Seed: 4})
	if r.Deaths < 10 {
		t.Errorf("only %d nodes died: there was no churn", r.Deaths)
	}
	if r.Success < 0.95 {
		t.Errorf("%d of %d look-ups right", r.ResolvedRight, r.Lookups)
	}
}

// TestSameSeedSameResult, to the byte; another seed gives another run.
func TestSameSeedSameResult(t *testing.T) {
	var runs [3]string
	for i, seed := range []uint64{5, 5, 6} {
		r := run(t, Config{Nodes: 30, Lookups: 100, Session: 60 * time.Second, Duration: 30 * time.Second, Loss: 0.01, Seed: seed})
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		runs[i] = string(b)
	}
	if runs[0] != runs[1] {
		t.Errorf("one seed, two runs:\n%s\n%s", runs[0], runs[1])
	}
	if runs[0] == runs[2] {
		t.Error("two seeds, one run")
	}
}

// TestAttacks: each attacker attacks, and what it can do to a look-up is
// bounded. A plain look-up believes the member that precedes the target, so a
// liar there is believed; a resolution is not deceived by that.
func TestAttacks(t *testing.T) {
	for _, tt := range []struct {
		attack Attack
		least  float64 // success
	}{{Drop, 0.99}, {Lie, 0.75}, {Eclipse, 0.99}, {Poison, 0.6}} {
		r := run(t, Config{Nodes: 40, Lookups: 200, Duration: 10 * time.Second, Warmup: 10 * time.Second, Attack: tt.attack, Bad: 0.15, Seed: 7})
		if r.Attacks == 0 {
			t.Errorf("%s: nobody attacked", tt.attack)
		}
		if r.Success < tt.least {
			t.Errorf("%s: %d of %d look-ups right", tt.attack, r.ResolvedRight, r.Lookups)
		}
		t.Logf("%s: %.3f right, %d acts", tt.attack, r.Success, r.Attacks)
	}
}

// TestCut: a ring that was in two halves becomes one again.
func TestCut(t *testing.T) {
	s, err := New(Config{Nodes: 30, Lookups: 100, Duration: 60 * time.Second, Warmup: 10 * time.Second, Cut: 20 * time.Second, Seed: 8})
	if err != nil {
		t.Fatal(err)
	}
	s.Run(t.Context())
	for i, num := range s.ring.nums {
		next := s.ring.ids[(i+1)%len(s.ring.ids)]
		if place := s.nodes[num].machine.Ring(); place.Head() != next {
			t.Errorf("%s follows %s, not %s", place.Head().Short(), place.Self.Short(), next.Short())
		}
	}
}

// TestRoutingOnly: in a ring that stands, larger than the tables, every look-up
// is right and short.
func TestRoutingOnly(t *testing.T) {
	r := run(t, Config{Nodes: 600, Members: 64, Lookups: 500, RoutingOnly: true, Seed: 9})
	if r.Success != 1 || r.HopsMean > 3.5 {
		t.Errorf("%d of %d look-ups right, %.2f hops", r.ResolvedRight, r.Lookups, r.HopsMean)
	}
}

// TestStopped: a run that is stopped says what there is.
func TestStopped(t *testing.T) {
	s, err := New(Config{Nodes: 20, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r := s.Run(ctx); r.Lookups != 0 || r.VirtualS != 0 {
		t.Errorf("a run that was stopped at once gives %+v", r)
	}
}

func TestBadConfig(t *testing.T) {
	for _, cfg := range []Config{
		{Nodes: 1}, {Nodes: 2_000_000}, {Lookups: -1}, {Loss: 1}, {Loss: -0.1}, {Session: -1}, {Session: time.Millisecond},
	} {
		if _, err := New(cfg); !errors.Is(err, ErrConfig) {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}
