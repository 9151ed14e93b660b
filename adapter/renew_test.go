package adapter_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/bootstrap"
	"github.com/secp2psip/secp2psip/internal/demo"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/testnet"
)

// later gives a bootstrap server a clock that is ahead by what *by says at
// its start.
func later(t *testing.T, by *time.Duration) func(*bootstrap.Config) {
	t.Helper()
	return func(c *bootstrap.Config) {
		shift := *by
		clock, err := identity.NewClock("", func() time.Time { return time.Now().Add(shift) })
		if err != nil {
			t.Fatal(err)
		}
		c.Clock = clock
	}
}

func register(t *testing.T, phones ...*demo.Phone) {
	t.Helper()
	for _, p := range phones {
		ctx, cancel := context.WithTimeout(t.Context(), testnet.Deadline)
		if err := p.Register(ctx); err != nil {
			t.Fatal(err)
		}
		cancel()
	}
}

// TestRenewal: 40 days later certificates and shares are issued anew, and the
// key stays the same; 200 days later, with no bootstrap server since, what has
// expired is still good for the overlay's grace.
func TestRenewal(t *testing.T) {
	t.Parallel()
	var shift time.Duration
	l := testnet.New(t, later(t, &shift))
	dir := t.TempDir()
	a, b := l.Add("alice", nil), l.Add("bob", nil)
	alice, bob := a.Phone(toneA), b.Phone(toneB)
	before := b.It.Status().Accounts[0]
	stopUntil := func(day int) {
		shift = time.Duration(day) * 24 * time.Hour
		for _, m := range []*testnet.Member{a, b} {
			m.Pin()
			m.Stop(t)
			m.Change(wrongClock(t, filepath.Join(dir, m.Name), shift))
		}
	}
	at := l.Server.It.Addr()
	stopUntil(40)
	l.Server.Stop(t)
	l.StartServer(at)
	a.Start()
	b.Start()
	testnet.Eventually(t, "bob's certificates are renewed", func() bool {
		return b.It.Status().Accounts[0].CertificateExpires.After(before.CertificateExpires.Add(30 * 24 * time.Hour))
	})
	if after := b.It.Status().Accounts[0]; after.Fingerprint != before.Fingerprint {
		t.Errorf("the renewal changed the key from %s to %s", before.Fingerprint, after.Fingerprint)
	}
	register(t, alice, bob) // their bindings ended long ago
	testnet.Eventually(t, "bob is found", func() bool { return a.Lookup("bob").Outcome == "verified" })
	if out := dial(t, alice, "bob"); out.Status != 200 {
		t.Fatalf("after the renewal: %d %s", out.Status, out.Reason)
	}
	answered(t, bob)

	l.Server.Stop(t)
	stopUntil(200) // 70 days after the end of what was renewed on day 40
	a.Start()
	b.Start()
	a.Joined()
	b.Joined()
	register(t, alice, bob)
	testnet.Eventually(t, "bob is found in the grace", func() bool { return a.Lookup("bob").Outcome == "verified" })
	if out := dial(t, alice, "bob"); out.Status != 200 {
		t.Fatalf("in the grace, without a bootstrap server: %d %s", out.Status, out.Reason)
	}
}
