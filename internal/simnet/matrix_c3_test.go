package simnet

import (
	"testing"
	"time"
)

// poisoned returns which share of the honest members' tables is attackers, and
// which is nobody at all: members that do not exist.
func (s *Sim) poisoned() (bad, ghosts, all int) {
	for _, num := range s.ring.nums {
		n := s.nodes[num]
		if n.bad {
			continue
		}
		for _, p := range n.viewOf().Peers() {
			i, exists := s.byID[p.ID]
			switch all++; {
			case !exists:
				ghosts++
			case s.nodes[i].bad:
				bad++
			}
		}
	}
	return bad, ghosts, all
}

// C3: members that give only one another to whoever asks for their neighbours or
// for a part of their table, spread nobody's news but their own, and name nodes
// that do not exist; in rings that the tables hold, and in such that they do not.
func TestMatrixC3PoisonedTables(t *testing.T) {
	const nodes, share, rings = 96, 0.2, 4
	for _, most := range []int{0, 40} {
		bad, all, population, members, lies, right := 0, 0, 0, 0, 0, 0.0
		for seed := range uint64(rings) {
			s, err := New(Config{
				Nodes: nodes, Plain: true, Lookups: 100, Duration: 30 * time.Second, Warmup: 60 * time.Second, Members: most,
				Session: 10 * time.Minute, Attack: Poison, Bad: share, Seed: 32 + seed,
			})
			if err != nil {
				t.Fatal(err)
			}
			r := s.Run(t.Context())
			b, ghosts, entries := s.poisoned()
			bad, all, lies, right = bad+b+ghosts, all+entries, lies+int(r.Attacks), right+r.RoutingRight/rings
			for _, num := range s.ring.nums {
				if members++; s.nodes[num].bad {
					population++
				}
			}
		}
		full := nodes
		if most > 0 {
			full = most
		}
		if lies == 0 || all < rings*nodes*full/2 {
			t.Errorf("tables of %d: %d lies, %d entries in all of them", most, lies, all)
		}
		of, got := float64(population)/float64(members), float64(bad)/float64(all)
		if got > of+0.05 || right < 0.95 {
			t.Errorf("tables of %d: %.3f of the entries are bad, %.3f of the members; %.3f of the look-ups right", most, got, of, right)
		}
		t.Logf("matrix: C3 tables of %d (0: of all), bad entries: %.1f %% of %d, bad members: %.1f %% of %d; look-ups right: %.1f %%; %d lies",
			most, 100*got, all, 100*of, members, 100*right, lies)
	}
}
