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
	r := run(t, Config{Nodes: 48, Lookups: 300, Duration: 20 * time.Second, Seed: 3, Plain: true})
	if r.Success != 1 || r.Lookups != 300 || r.RoutingExact != 1 {
		t.Errorf("%d of %d look-ups right, %.4f exactly", r.ResolvedRight, r.Lookups, r.RoutingExact)
	}
	if r.HopsMean < 0.5 || r.HopsMean > 1.2 {
		t.Errorf("%.2f hops on average in a ring that every node knows", r.HopsMean)
	}
}

// TestChurn: nodes come and go, and packets are lost.
func TestChurn(t *testing.T) {
	r := run(t, Config{Nodes: 48, Lookups: 300, Session: 84 * time.Second, Duration: 20 * time.Second, Warmup: 20 * time.Second, Loss: 0.02, Plain: true, Seed: 4})
	if r.Deaths < 5 {
		t.Errorf("only %d nodes died: there was no churn", r.Deaths)
	}
	if r.Success < 0.95 {
		t.Errorf("%d of %d look-ups right", r.ResolvedRight, r.Lookups)
	}
}

// TestNames: members find one another's keys and devices, while nodes come and
// go.
func TestNames(t *testing.T) {
	r := run(t, Config{Nodes: 24, Lookups: 100, Session: 84 * time.Second, Duration: 20 * time.Second, Warmup: 20 * time.Second, Seed: 10})
	if r.Success < 0.97 || r.ResolvedWrong > 0 || r.Deaths == 0 {
		t.Errorf("%d of %d names resolved rightly, %d wrongly, %v; %d nodes died", r.ResolvedRight, r.Lookups, r.ResolvedWrong, r.Refusals, r.Deaths)
	}
	if r.BytesPerSNode.Records == 0 || r.BytesPerSNode.Membership == 0 {
		t.Errorf("%+v", r.BytesPerSNode)
	}
}

// TestSameSeedSameResult, to the byte; another seed gives another run.
func TestSameSeedSameResult(t *testing.T) {
	var runs [3]string
	for i, seed := range []uint64{5, 5, 6} {
		r := run(t, Config{Nodes: 14, Lookups: 50, Session: 60 * time.Second, Duration: 10 * time.Second, Warmup: 10 * time.Second, Loss: 0.01, Seed: seed})
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

// TestGossipRepeats: the same with descriptors that travel, in a ring where they go
// to a part of the circle only; two processors give what one gives.
func TestGossipRepeats(t *testing.T) {
	var runs [2]string
	for i := range runs {
		r := run(t, Config{Nodes: 70, Lookups: 60, Session: 30 * time.Second, Duration: 12 * time.Second, Warmup: 40 * time.Second, Loss: 0.01, Plain: true, Seed: 11})
		if r.Messages["Gossip"].PerS == 0 || r.Messages["Members"].PerS == 0 || r.Certificates == 0 {
			t.Errorf("no gossip: %v", r.Messages)
		}
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		runs[i] = string(b)
	}
	if runs[0] != runs[1] {
		t.Errorf("one seed, two runs:\n%s\n%s", runs[0], runs[1])
	}
}

// TestAttacks: each attacker attacks, and nobody is ever given a wrong key or
// device.
func TestAttacks(t *testing.T) {
	for _, attack := range []Attack{Drop, Lie, Withhold, Eclipse, Poison} {
		r := run(t, Config{
			Nodes: 16, Lookups: 40, Duration: 8 * time.Second, Warmup: 12 * time.Second,
			Attack: attack, Bad: 0.2, Seed: 7, Plain: attack == Eclipse,
		})
		if r.Attacks == 0 {
			t.Errorf("%s: nobody attacked", attack)
		}
		if r.ResolvedWrong > 0 || r.Success < 0.9 {
			t.Errorf("%s: %d of %d look-ups right, %d wrong: %v", attack, r.ResolvedRight, r.Lookups, r.ResolvedWrong, r.Refusals)
		}
		t.Logf("%s: %.3f right, %d acts", attack, r.Success, r.Attacks)
	}
}

// TestCut: a ring that was in two halves becomes one again.
func TestCut(t *testing.T) {
	s, err := New(Config{Nodes: 30, Lookups: 100, Duration: 60 * time.Second, Warmup: 10 * time.Second, Cut: 20 * time.Second, Plain: true, Seed: 8})
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

// TestNAT: names of devices that nobody reaches from outside are found by members
// and by one another, with members that can pass packets on to them.
func TestNAT(t *testing.T) {
	s, err := New(Config{Nodes: 24, Lookups: 100, NAT: 0.4, Session: 10 * time.Minute, Duration: 20 * time.Second, Warmup: 30 * time.Second, Seed: 12})
	if err != nil {
		t.Fatal(err)
	}
	r := s.Run(t.Context())
	clients := 0
	for _, i := range s.live {
		if n := s.nodes[i]; n.nat {
			clients++
			if n.member || len(n.via) < attachedTo {
				t.Errorf("%s: a member %t, attached to %d", n.peer.ID.Short(), n.member, len(n.via))
			}
		}
	}
	if clients < 4 || r.Success < 0.97 || r.ResolvedWrong > 0 {
		t.Errorf("%d clients, %d of %d right, %d wrong: %v", clients, r.ResolvedRight, r.Lookups, r.ResolvedWrong, r.Refusals)
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
		{Nodes: 1}, {Nodes: 2_000_000}, {Lookups: -1}, {Loss: 1}, {Loss: -0.1}, {Session: -1}, {Session: time.Millisecond}, {NAT: 1}, {NAT: -0.1},
	} {
		if _, err := New(cfg); !errors.Is(err, ErrConfig) {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}
