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
	r := run(t, Config{Nodes: 64, Lookups: 500, Duration: 30 * time.Second, Seed: 3})
	if r.Success != 1 || r.Lookups != 500 || r.RoutingExact != 1 {
		t.Errorf("%d of %d look-ups right, %.4f exactly", r.ResolvedRight, r.Lookups, r.RoutingExact)
	}
	if r.HopsMean < 0.5 || r.HopsMean > 1.2 {
		t.Errorf("%.2f hops on average in a ring that every node knows", r.HopsMean)
	}
}

// TestChurn: nodes come and go, and packets are lost.
func TestChurn(t *testing.T) {
	r := run(t, Config{Nodes: 64, Lookups: 500, Session: 84 * time.Second, Duration: 40 * time.Second, Loss: 0.02, Seed: 4})
	if r.Deaths < 20 {
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
		r := run(t, Config{Nodes: 40, Lookups: 100, Session: 60 * time.Second, Duration: 30 * time.Second, Loss: 0.01, Seed: seed})
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
