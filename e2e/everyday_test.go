//go:build e2e && linux

package e2e

import (
	"testing"

	"github.com/secp2psip/secp2psip/e2e/internal/phone"
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
		spec{user: "erin", kind: "baresip", manual: true, hz: calledHz},
	)
	alice, bob, carol, dave, erin := o.people["alice"], o.people["bob"], o.people["carol"], o.people["dave"], o.people["erin"]

	t.Run("a number leads to the name", func(t *testing.T) {
		proveCall(t, call{from: alice.phone, to: bob.phone, uri: alice.uri("101")})
	})
	t.Run("a phone on TCP calls and is called", func(t *testing.T) {
		proveCall(t, call{from: dave.phone, to: carol.phone, uri: dave.uri("carol")})
	})
	t.Run("the echo answers with the caller's own voice", func(t *testing.T) { proveEcho(t, alice) })
	t.Run("a caller who gives up stops the ringing", func(t *testing.T) {
		for _, p := range []*person{alice, dave} {
			ringErin(t, p, erin, p.phone)
		}
	})
	t.Run("a refusal passes unchanged", func(t *testing.T) {
		for _, p := range []*person{alice, dave} {
			if got := ringErin(t, p, erin, erin.phone); got.Code != 486 {
				t.Errorf("%s sees %d %s, want the phone's own 486", p.phone.Name(), got.Code, got.Reason)
			}
		}
	})
	t.Run("a call on hold goes on", func(t *testing.T) { proveHold(t, dave, bob) })
	t.Run("two phones ring, one answers, the other stops", func(t *testing.T) { proveFork(t, o, alice, bob) })
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
	t.Run("who is gone is 480", func(t *testing.T) { proveAbsences(t, alice, bob, carol, dave, erin) })
}

// proveAbsences takes one after the other away, in each way that there is, and calls them.
func proveAbsences(t *testing.T, alice, bob, carol, dave, erin *person) {
	t.Helper()
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
	t.Run("an adapter that is gone is 480", func(t *testing.T) {
		erin.kill()
		if got := proveRefusal(t, alice.phone, alice.uri("erin"), 480); got.Warning == "" {
			t.Errorf("the refusal explains nothing: %+v", got)
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

// ringErin calls a phone that does not answer, lets one of the two hang up, and gives what the caller saw.
func ringErin(t *testing.T, from, erin *person, quitter phone.Phone) phone.Outcome {
	t.Helper()
	ready(t, from.phone, erin.phone)
	must(t, from.phone.Dial(within(t, answering), from.uri(erin.user)))
	must(t, from.phone.WaitRinging(within(t, answering)))
	must(t, quitter.Hangup(within(t, closing)))
	must(t, from.phone.WaitClosed(within(t, closing)))
	must(t, erin.phone.WaitClosed(within(t, closing)))
	o, err := from.phone.Outcome()
	must(t, err)
	return o
}

// proveHold puts a call on hold and takes it up again: both sides hear each other as before.
func proveHold(t *testing.T, from, to *person) {
	t.Helper()
	holder := from.phone.(phone.Holder)
	ready(t, from.phone, to.phone)
	must(t, from.phone.Dial(within(t, answering), from.uri(to.user)))
	must(t, to.phone.WaitEstablished(within(t, answering)))
	must(t, from.phone.WaitEstablished(within(t, answering)))
	must(t, to.phone.WaitHeard(within(t, answering), talking))
	must(t, holder.Hold(within(t, answering)))
	must(t, holder.Resume(within(t, answering)))
	must(t, to.phone.WaitHeard(within(t, answering), 2*talking))
	must(t, from.phone.Hangup(within(t, closing)))
	must(t, from.phone.WaitClosed(within(t, closing)))
	must(t, to.phone.WaitClosed(within(t, closing)))
	proveHeard(t, from.phone, to.hz)
	proveHeard(t, to.phone, from.hz)
}

// proveFork gives somebody a second phone, which rings with the first one and stops when that one answers.
func proveFork(t *testing.T, o *office, from, to *person) {
	t.Helper()
	second := newPhone(t, "baresip", phone.Config{
		Host: to.host, User: to.user, Domain: to.domain, Port: 5064, Manual: true, Tone: toneFile(t, o.lab, to.hz),
	})
	start(t, second)
	ready(t, second)
	proveCall(t, call{from: from.phone, to: to.phone, uri: from.uri(to.user)})
	must(t, second.WaitClosed(within(t, closing)))
	must(t, second.Off(within(t, closing)))
	via(t, second) // it rang
}
