package simnet

import (
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/directory"
)

// C4: intermediates and holders that say of each name that it does not exist, in
// one way or another, and all of them together, are hardly ever believed. Tables
// hold an eighth of the ring, so that the way leads through others.
func TestMatrixC4NotFoundFromIntermediates(t *testing.T) {
	const nodes = 400
	believed, all, lies := 0, 0, uint64(0)
	for i, bad := range []float64{0.03, 0.1, 0.3} {
		for _, attack := range []Attack{Deny, Collude} {
			r := run(t, Config{
				Nodes: nodes, Members: nodes / 8, Names: 6, Lookups: 170, Duration: 5 * time.Minute, RoutingOnly: true, Attack: attack, Bad: bad, Seed: 40 + uint64(i),
			})
			n := int(r.Refusals["look-up: "+directory.ErrNoSuchName.Error()])
			if r.Attacks == 0 || r.ResolvedWrong > 0 || r.Lookups < 100 {
				t.Errorf("%s: %d lies, %d of %d wrong", attack, r.Attacks, r.ResolvedWrong, r.Lookups)
			}
			t.Logf("%s, %.0f %% of %d: %d of %d found, %d said not to exist, %d refused in all", attack, 100*bad, nodes, r.ResolvedRight, r.Lookups, n, r.Refused)
			believed, all, lies = believed+n, all+r.Lookups, lies+r.Attacks
		}
	}
	t.Logf("matrix: C4 \"no such name\" believed where 3 to 30 %% of %d nodes say so of every name: %d of %d look-ups (seeds 40 on), %d lies", nodes, believed, all, lies)
	if float64(believed) > 0.005*float64(all) || all < 1000 {
		t.Errorf("believed in %d of %d look-ups", believed, all)
	}
}
