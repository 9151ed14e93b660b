package adapter_test

import (
	"strings"
	"testing"

	"github.com/secp2psip/secp2psip/adapter"
	"github.com/secp2psip/secp2psip/internal/node"
	"github.com/secp2psip/secp2psip/internal/testnet"
)

// hides has an adapter look names up through others only.
func hides(c *adapter.Config) {
	uncached(c)
	c.HideLookups = true
}

// With look-ups hidden people call each other, and hear who does not exist; where
// there are too few members to ask through, nobody is asked.
func TestHiddenLookups(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, nil)
	a := l.Add("alice", hides)
	a.Phone(toneA)
	if status, err := call(t, a, "nobody"); status != 503 || !strings.Contains(err.Error(), "look-ups are hidden") {
		t.Errorf("with the bootstrap server alone: %d %v", status, err)
	}
	for _, name := range []string{"bob", "carol", "dave"} {
		l.Add(name, hides).Phone(toneB)
	}
	for _, name := range []string{"bob", "carol", "bob"} {
		testnet.Eventually(t, "alice calls "+name, func() bool { status, _ := call(t, a, name); return status == 302 })
	}
	testnet.Eventually(t, "bob calls alice", func() bool { status, _ := call(t, l.Members["bob"], "alice"); return status == 302 })
	c := l.Add("frank", func(c *adapter.Config) { hides(c); c.Role = node.RoleClient })
	c.Phone(toneB)
	testnet.Eventually(t, "frank is told that a client cannot hide look-ups", func() bool {
		return strings.Contains(strings.Join(c.It.Status().Warnings, " "), "cannot hide them")
	})
	if status, err := call(t, c, "bob"); status != 503 {
		t.Errorf("a client's look-up: %d %v", status, err)
	}
	for range 4 { // in both ways, with all likelihood
		if err := l.Members["bob"].It.LookSelfUp(limited(), "bob"); err != nil {
			t.Error("one's own name:", err)
		}
	}
	testnet.Eventually(t, "nobody is not enrolled", func() bool { status, _ := call(t, a, "nobody"); return status == 404 })
}
