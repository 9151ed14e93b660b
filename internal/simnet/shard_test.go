package simnet

import (
	"encoding/json"
	"testing"
	"time"
)

// TestShards: one shard on one goroutine gives what two on two give, to the byte.
func TestShards(t *testing.T) {
	for name, cfg := range map[string]Config{
		"names":   {Nodes: 18, Lookups: 40, Session: 40 * time.Second, Duration: 7 * time.Second, Warmup: 5 * time.Second, Loss: 0.02, NAT: 0.2, Seed: 21},
		"plain":   {Nodes: 40, Lookups: 60, Session: 30 * time.Second, Duration: 8 * time.Second, Warmup: 8 * time.Second, Cut: 3 * time.Second, Plain: true, Seed: 22},
		"attack":  {Nodes: 16, Lookups: 30, Duration: 4 * time.Second, Warmup: 4 * time.Second, Attack: Goose, Bad: 0.2, Seed: 23},
		"routing": {Nodes: 200, Members: 48, Lookups: 100, Cold: true, RoutingOnly: true, Seed: 24},
	} {
		var first string
		for i, how := range []struct {
			shards int
			alone  bool
		}{{1, true}, {2, false}} {
			cfg.shards, cfg.alone = how.shards, how.alone
			s, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			r := s.Run(t.Context())
			if r.WallS, r.RSSMiB = 0, 0; r.Lookups == 0 {
				t.Errorf("%s: nothing was looked up", name)
			}
			if homes := s.homes(); how.shards == 2 && min(homes[0], homes[1]) < len(s.nodes)/3 {
				t.Errorf("%s: of the nodes are %d in one shard and %d in the other", name, homes[0], homes[1])
			}
			b, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				first = string(b)
			} else if string(b) != first {
				t.Errorf("%s: with one shard\n%s\nwith %d, alone %t\n%s", name, first, how.shards, how.alone, b)
			}
		}
	}
}

// homes counts the nodes of each shard.
func (s *Sim) homes() (n [2]int) {
	for _, one := range s.nodes {
		n[one.shard]++
	}
	return n
}
