//go:build e2e && linux

package e2e

import (
	"testing"

	"github.com/secp2psip/secp2psip/internal/admin"
)

// TestEveryday goes through what happens in an office besides plain calls.
func TestEveryday(t *testing.T) {
	t.Parallel()
	o := newOffice(t,
		spec{user: "alice", kind: "baresip", hz: callerHz, peers: []string{"bob"}},
		spec{user: "bob", number: "101", kind: "linphonec", hz: calledHz},
		spec{user: "carol", kind: "baresip", tcp: true, hz: calledHz},
		spec{user: "dave", kind: "linphonec", hz: callerHz},
	)
	alice, bob, carol, dave := o.people["alice"], o.people["bob"], o.people["carol"], o.people["dave"]

	t.Run("a number leads to the name", func(t *testing.T) {
		proveCall(t, call{from: alice.phone, to: bob.phone, uri: alice.uri("101")})
	})
	t.Run("a phone on TCP calls and is called", func(t *testing.T) {
		proveCall(t, call{from: dave.phone, to: carol.phone, uri: dave.uri("carol")})
	})
	t.Run("the echo answers with the caller's own voice", func(t *testing.T) { proveEcho(t, alice) })
	t.Run("texts cross in both directions", func(t *testing.T) {
		proveText(t, alice.phone, bob.phone, alice.uri("bob"))
		proveText(t, bob.phone, alice.phone, bob.uri("alice"))
	})
	t.Run("an unknown name is 404", func(t *testing.T) {
		for _, p := range []*person{alice, dave} {
			if got := proveRefusal(t, p.phone, p.uri("nobody"), 404); got.Reason == "" || got.Warning == "" {
				t.Errorf("the refusal explains nothing: %+v", got)
			}
		}
	})
	t.Run("lookup shows the evidence", func(t *testing.T) {
		var got admin.LookupResult
		alice.run(lookupCommand(alice.state, "bob"), &got)
		if got.Outcome != admin.OutcomeVerified || len(got.Devices) != 1 || len(got.Evidence.SharesUsed) < got.Evidence.K {
			t.Errorf("bob resolves as %+v", got)
		}
	})
	t.Run("status shows the last call", func(t *testing.T) {
		var got admin.Status
		alice.run(statusCommand(alice.state), &got)
		if len(got.Calls) == 0 {
			t.Fatal("no calls")
		}
		if last := got.Calls[0]; last.Status != 404 || last.Direction != admin.CallOut {
			t.Errorf("the last call is %+v, want the refused one", last)
		}
	})
	t.Run("a phone that is switched off is 480", func(t *testing.T) {
		must(t, carol.phone.Off(within(t, closing)))
		must(t, bob.phone.Off(within(t, closing)))
		for _, p := range []*person{alice, dave} {
			for _, off := range []string{"carol", "bob", "101"} {
				if got := proveRefusal(t, p.phone, p.uri(off), 480); got.Reason == "" || got.Warning == "" {
					t.Errorf("the refusal explains nothing: %+v", got)
				}
			}
		}
	})
	t.Run("a phone whose plug was pulled is 480", func(t *testing.T) {
		dave.phone.Kill()
		proveRefusal(t, alice.phone, alice.uri("dave"), 480)
	})
}

// proveEcho calls the adapter's own echo and expects to hear what was said.
func proveEcho(t *testing.T, p *person) {
	t.Helper()
	ready(t, p.phone)
	must(t, p.phone.Dial(within(t, answering), p.uri("echo")))
	must(t, p.phone.WaitEstablished(within(t, answering)))
	must(t, p.phone.WaitHeard(within(t, answering), talking))
	must(t, p.phone.Hangup(within(t, closing)))
	must(t, p.phone.WaitClosed(within(t, closing)))
	proveHeard(t, p.phone, p.hz)
}
