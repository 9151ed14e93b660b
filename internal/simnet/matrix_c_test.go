package simnet

import (
	"testing"
	"time"
)

// still is a ring that stands, with names, in which so many nodes attack.
func still(nodes, members int, attack Attack, bad float64) Config {
	return Config{Nodes: nodes, Members: members, Names: 16, Lookups: 150, Duration: 5 * time.Minute, RoutingOnly: true, Attack: attack, Bad: bad, Seed: 21}
}

// C1: whoever leads look-ups astray, by naming nodes that do not exist ever closer,
// accomplices, or himself, gets neither a wrong answer believed nor the look-up to
// go on, where no node knows more than a few others.
func TestMatrixC1WildGoose(t *testing.T) {
	longest, wrong, judged, refused, acts := 0.0, 0, 0, 0, uint64(0)
	for _, attack := range []Attack{Goose, Lie, Collude} {
		r := run(t, still(400, 48, attack, 0.2))
		if r.Attacks == 0 {
			t.Errorf("%s: nobody attacked", attack)
		}
		longest, wrong, judged = max(longest, r.LongestMS), wrong+r.ResolvedWrong, judged+r.Lookups
		refused, acts = refused+r.Refused, acts+r.Attacks
		if r.Success < 0.9 {
			t.Errorf("%s: only %d of %d right, %v", attack, r.ResolvedRight, r.Lookups, r.Refusals)
		}
	}
	if wrong > 0 || longest > 3000 {
		t.Errorf("%d wrong answers, the longest look-up took %.0f ms", wrong, longest)
	}
	t.Logf("matrix: C1 wild-goose liars, 20 %% of 400: wrong 0 of %d, refused %d, longest %.2f s; %d lies", judged, refused, longest/1000, acts)
}

// C1: the same for a look-up of a position, which no signature protects: the
// nodes that the asking node knows contradict the liars.
func TestMatrixC1PositionsWithLiars(t *testing.T) {
	for _, attack := range []Attack{Goose, Lie, Collude} {
		c := still(600, 0, attack, 0.3)
		c.Names, c.Lookups = 0, 300
		r := run(t, c)
		if r.Attacks == 0 || r.LongestMS > 3000 {
			t.Errorf("%s: %d lies, the longest look-up took %.0f ms", attack, r.Attacks, r.LongestMS)
		}
		if 10*r.ResolvedWrong > r.Lookups { // a nearer node may be too slow to contradict
			t.Errorf("%s: %d of %d led elsewhere", attack, r.ResolvedWrong, r.Lookups)
		}
		t.Logf("matrix: C1 %s, 30 %% of 600, positions: %d of %d right, refused %d, longest %.2f s", attack, r.ResolvedRight, r.Lookups, r.Refused, r.LongestMS/1000)
	}
}

// C2: nodes that answer no look-up, fetch or store. Names are found at independent
// replicas by several ways at once; a single way, as Chord first had it, is not
// enough.
func TestMatrixC2Droppers(t *testing.T) {
	const nodes, bad = 1000, 0.2
	for _, members := range []int{0, 128} {
		r := run(t, still(nodes, members, Drop, bad))
		if r.Attacks == 0 {
			t.Error("nobody attacked")
		}
		if r.Success < 0.995 || r.ResolvedWrong > 0 {
			t.Errorf("tables of %d: %d of %d right, %v", members, r.ResolvedRight, r.Lookups, r.Refusals)
		}
		t.Logf("matrix: C2 %d nodes, 20 %% drop, tables of %d: %d of %d found", nodes, members, r.ResolvedRight, r.Lookups)
	}
	if alone, _ := PlainChord(nodes, 2000, bad, 21); alone > 0.6 {
		t.Errorf("one way alone finds %.3f: the attack is none", alone)
	}
}

// C2: the same in a ring that has lived under the attack from its first node on,
// where stores are dropped, too.
func TestMatrixC2DroppersFromTheStart(t *testing.T) {
	r := run(t, Config{Nodes: 32, Lookups: 150, Duration: 30 * time.Second, Warmup: 15 * time.Second, Attack: Drop, Bad: 0.2, Seed: 22})
	if r.Attacks == 0 || r.Success < 0.995 || r.ResolvedWrong > 0 {
		t.Errorf("%d of %d right, %d drops, %v", r.ResolvedRight, r.Lookups, r.Attacks, r.Refusals)
	}
	t.Logf("matrix: C2 32 living nodes, 20 %% drop: %d of %d found", r.ResolvedRight, r.Lookups)
}
