package node_test

import (
	"slices"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/node"
)

// C7: whom a bootstrap server names to join through are all attackers, a ring of
// their own with the overlay's name and another root. A newcomer joins none of
// them and says so; one that has been there before finds the members that it knew.
func TestMatrixC7OnlyAttackersNamed(t *testing.T) {
	ours, theirs := newOverlay(t), newOverlay(t)
	var evil []*peer
	for _, name := range []string{"x", "y", "z"} {
		evil = append(evil, theirs.start(name, nil, evil[:min(len(evil), 1)]...))
	}
	first := ours.start("first", nil)
	second := ours.start("second", nil, first)
	dir := t.TempDir()
	var db *bbolt.DB
	onItsDisk := func(c *node.Config) {
		db = onDisk(t, stateFile(dir, "victim"))
		c.DB = db
	}
	victim := ours.start("victim", onItsDisk, first, second)
	eventually(t, "the victim knows both", func() bool { return victim.Ring().Status().Members == 3 })
	victim.stop()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	newcomer := ours.start("newcomer", nil, evil...)
	returned := ours.start("victim", onItsDisk, evil...)
	eventually(t, "it is among those it knew", func() bool { return returned.Ring().Status().Members == 3 })
	refused := 0
	for _, p := range []*peer{newcomer, returned} {
		eventually(t, "the alarm", func() bool {
			return strings.Contains(strings.Join(p.Alarms(), " "), "nodes that the bootstrap server named are refused")
		})
		if p.refused.of("node/only_strangers") == 0 {
			t.Error("nothing is counted")
		}
		refused++
		for _, e := range evil {
			if slices.ContainsFunc(p.Link().Peers(), func(i link.PeerInfo) bool { return i.ID == e.ID() }) {
				t.Error("there is a link to an attacker")
			}
		}
	}
	if n := newcomer.Ring().Status().Members; n != 1 {
		t.Errorf("the newcomer has joined %d others", n-1)
	}
	attacks := 0
	for _, e := range evil {
		attacks += e.refused.of("link/handshake_failed") + e.refused.of("link/bad_certificate")
	}
	if attacks == 0 {
		t.Error("no attacker was ever called")
	}
	t.Logf("matrix: C7 bootstrap server that names attackers only: joined 0 of 2 nodes, alarms %d; the one with known members is back among them; %d handshakes with attackers failed", refused, attacks)
}
