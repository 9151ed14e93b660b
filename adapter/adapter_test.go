package adapter_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/adapter"
	"github.com/secp2psip/secp2psip/bootstrap"
	"github.com/secp2psip/secp2psip/internal/demo"
	"github.com/secp2psip/secp2psip/internal/testnet"
	"github.com/secp2psip/secp2psip/sipbridge"
)

const (
	toneA = 440
	toneB = 1000
	talk  = 300 * time.Millisecond
)

// dial makes a call and fails the test only where the phone could not even ask.
func dial(t *testing.T, from *demo.Phone, to string) *demo.Outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testnet.Deadline)
	defer cancel()
	out, err := from.Call(ctx, to, talk)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// answered waits for what the callee heard.
func answered(t *testing.T, p *demo.Phone) *demo.Heard {
	t.Helper()
	select {
	case h := <-p.Answered():
		return h
	case <-time.After(testnet.Deadline):
		t.Fatal("the callee's phone saw no end of a call")
		return nil
	}
}

func TestCallIsRedirectedAndTalks(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, charterPaths("direct", "carried"))
	alice, bob := l.Add("alice", nil).Phone(toneA), l.Add("bob", nil).Phone(toneB)
	out := dial(t, alice, "bob")
	if out.Status != 200 || !out.Redirected || !strings.HasPrefix(out.Contact, "sip:bob@127.0.0.1:") {
		t.Fatalf("%+v", out)
	}
	if !out.Heard.Tone(toneB) || !answered(t, bob).Tone(toneA) {
		t.Error("the tones did not come through")
	}
	call := l.Members["alice"].It.Status().Calls[0]
	if call.Status != 302 || call.Path != sipbridge.PathDirect || !call.Verified || call.SharesUsed != 4 {
		t.Errorf("the call log says %+v", call)
	}
}

func TestCallIsCarried(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, charterPaths("direct", "carried"))
	alice := l.Add("alice", func(c *adapter.Config) { c.SIP.Redirect = sipbridge.RedirectNever }).Phone(toneA)
	bob := l.Add("bob", nil).Phone(toneB)
	out := dial(t, alice, "bob")
	if out.Status != 200 || out.Redirected {
		t.Fatalf("%+v", out)
	}
	if !out.Heard.Tone(toneB) || !answered(t, bob).Tone(toneA) {
		t.Error("the tones did not come through")
	}
	for name, direction := range map[string]string{"alice": "out", "bob": "in"} {
		if call := l.Members[name].It.Status().Calls[0]; call.Path != sipbridge.PathCarried || !call.Verified || call.Status != 200 || call.Direction != direction {
			t.Errorf("%s's call log says %+v", name, call)
		}
	}
}

// TestRedirectedToOwnToken forces the carried path with a 302: the phone is
// sent to a one-use token at its own adapter and comes back with it.
func TestRedirectedToOwnToken(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, nil)
	m := l.Add("alice", func(c *adapter.Config) { c.SIP.Path = sipbridge.PathCarried })
	alice := m.Phone(toneA)
	bob := l.Add("bob", nil).Phone(toneB)
	out := dial(t, alice, "bob")
	if out.Status != 200 || !out.Redirected || !strings.Contains(out.Contact, m.SIP().String()) {
		t.Fatalf("%+v", out)
	}
	if !out.Heard.Tone(toneB) || !answered(t, bob).Tone(toneA) {
		t.Error("the tones did not come through")
	}
}

func TestFailuresSayWhy(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, nil)
	alice := l.Add("alice", nil).Phone(toneA)
	l.Add("bob", nil).Phone(toneB)
	carol := l.Add("carol", nil)
	carol.Phone(toneB)
	aor, err := carol.It.Account("carol")
	if err != nil {
		t.Fatal(err)
	}
	if err := carol.It.Register(t.Context(), sipbridge.Registration{AOR: aor}); err != nil { // her phone is gone
		t.Fatal(err)
	}
	for name, want := range map[string]int{"nobody": 404, "carol": 480, "bo b": 400} {
		if out := dial(t, alice, name); out.Status != want && !(name == "bo b" && out.Status >= 400 && out.Status < 500) {
			t.Errorf("%s: %d %s, want %d", name, out.Status, out.Reason, want)
		}
	}
}

func TestTheBootstrapServerIsNotNeeded(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, nil)
	a, b, c := l.Add("alice", nil), l.Add("bob", nil), l.Add("carol", nil)
	alice, bob := a.Phone(toneA), b.Phone(toneB)
	c.Phone(toneB)
	l.Server.Stop(t)
	if out := dial(t, alice, "bob"); out.Status != 200 {
		t.Fatalf("with the bootstrap server gone: %d %s", out.Status, out.Reason)
	}
	answered(t, bob)
	c.Stop(t)
	c.Start() // rejoins through its last-known peers
	c.Joined()
	testnet.Eventually(t, "carol finds bob again", func() bool { return c.Lookup("bob").Outcome == "verified" })
}

// TestEverythingRestarts stops all there is and starts it again: the phones
// do not register anew.
func TestEverythingRestarts(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, nil)
	a, b := l.Add("alice", nil), l.Add("bob", nil)
	alice, bob := a.Phone(toneA), b.Phone(toneB)
	at := l.Server.It.Addr()
	a.Pin()
	b.Pin()
	b.Stop(t)
	a.Stop(t)
	l.Server.Stop(t)
	l.StartServer(netip.MustParseAddrPort(at.String()))
	a.Start()
	b.Start()
	a.Joined()
	b.Joined()
	testnet.Eventually(t, "bob is found again", func() bool { return a.Lookup("bob").Outcome == "verified" })
	out := dial(t, alice, "bob")
	if out.Status != 200 {
		t.Fatalf("after the restart: %d %s", out.Status, out.Reason)
	}
	answered(t, bob)
}

func TestAFurtherDeviceIsAdmittedByTheFirst(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, nil)
	link := l.Invite("bob", 2)
	first := l.AddWith("bob", "bob-desk", link, nil)
	second := l.AddWith("bob", "bob-mobile", link, nil)
	first.Phone(toneA)
	second.Phone(toneB)
	alice := l.Add("alice", nil)
	alice.Phone(toneA)
	testnet.Eventually(t, "both devices are found", func() bool { return len(alice.Lookup("bob").Devices) == 2 })
	third := l.AddWith("bob", "bob-third", link, nil)
	p := third.Unregistered("bob", toneA)
	ctx, cancel := context.WithTimeout(t.Context(), testnet.Deadline)
	defer cancel()
	if err := p.Register(ctx); err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("a third device of an invitation for two: %v", err)
	}
}

func TestTwoAccountsOfOneAdapterCallEachOther(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, nil)
	m := l.Add("alice", nil)
	alice := m.Phone(toneA)
	m.Accept(l.Invite("bob", 1))
	bob := m.PhoneOf("bob", toneB)
	if out := dial(t, alice, "bob"); out.Status != 200 {
		t.Fatalf("%d %s", out.Status, out.Reason)
	}
	answered(t, bob)
}

// TestTheCharterChoosesThePath: an overlay that allows only carried calls gets
// only those, whatever phones and adapters would do by themselves.
func TestTheCharterChoosesThePath(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, func(c *bootstrap.Config) { c.Charter.Paths = []string{sipbridge.PathCarried} })
	m := l.Add("alice", nil)
	alice, bob := m.Phone(toneA), l.Add("bob", nil).Phone(toneB)
	out := dial(t, alice, "bob")
	if out.Status != 200 || !strings.Contains(out.Contact, m.SIP().String()) {
		t.Fatalf("%+v", out)
	}
	answered(t, bob)
	stubborn := l.Add("carol", func(c *adapter.Config) { c.SIP.Path = sipbridge.PathDirect }).Phone(toneA)
	if out := dial(t, stubborn, "bob"); out.Status != 488 || !strings.Contains(out.Reason, "carried") {
		t.Errorf("a direct call in an overlay of carried ones: %d %s", out.Status, out.Reason)
	}
}
