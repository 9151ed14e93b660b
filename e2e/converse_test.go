//go:build e2e && linux

package e2e

import (
	"strings"
	"testing"

	"github.com/secp2psip/secp2psip/e2e/internal/phone"
	"github.com/secp2psip/secp2psip/internal/admin"
)

// TestConversation goes through what people do with their phones in a call, on the protected path and with phones that
// listen on 127.0.0.1 only: hold, keys of the dial pad, transfers.
func TestConversation(t *testing.T) {
	t.Parallel()
	o := newOfficeOf(t, "require-protected",
		spec{user: "alice", kind: "linphonec", hz: callerHz, loopback: true},
		spec{user: "bob", kind: "baresip", hz: calledHz, loopback: true},
		spec{user: "carol", kind: "linphonec", hz: 620, loopback: true},
		spec{user: "dave", kind: "linphonec", hz: 1400, loopback: true},
	)
	alice, bob, carol, dave := o.people["alice"], o.people["bob"], o.people["carol"], o.people["dave"]
	middle, err := o.lab.Tap()
	must(t, err)
	t.Run("either side holds the call", func(t *testing.T) {
		converse(t, alice, bob)
		for _, p := range []*person{alice, bob} {
			holder := p.phone.(phone.Holder)
			must(t, holder.Hold(within(t, answering)))
			must(t, holder.Resume(within(t, answering)))
			goesOn(t, p.user+" has taken the call up again", alice, bob)
		}
		part(t, alice, bob)
	})
	t.Run("keys of the dial pad", func(t *testing.T) { proveKeys(t, alice, bob) })
	t.Run("blind transfer by linphonec", func(t *testing.T) { proveTransfer(t, alice, bob, carol) })
	t.Run("blind transfer by baresip", func(t *testing.T) { proveTransfer(t, bob, alice, carol) })
	t.Run("attended transfer", func(t *testing.T) { proveAttended(t, alice, dave, carol) })
	wire := listen(middle.Stop(), append([]string{overlay, "REFER", "Replaces"}, namesOf(o)...), callerHz, calledHz, 620, 1400)
	if wire.frames < 1000 || len(wire.words) > 0 || len(wire.rtp)+len(wire.tones) > 0 {
		t.Errorf("between the hosts there are %d frames with %v, RTP %v, tones %v", wire.frames, wire.words, wire.rtp, wire.tones)
	}
}

// namesOf are the names that must not be seen on the wire.
func namesOf(o *office) (names []string) {
	for user := range o.people {
		names = append(names, "sip:"+user, user+"@")
	}
	return names
}

// proveKeys presses keys on both phones.
func proveKeys(t *testing.T, a, b *person) {
	t.Helper()
	converse(t, a, b)
	for _, dir := range [][2]*person{{a, b}, {b, a}} {
		must(t, dir[0].phone.(phone.Changer).Digits(within(t, answering), "1590#"))
		must(t, dir[1].phone.(phone.Changer).WaitDigits(within(t, answering), "1590#"))
	}
	part(t, a, b)
}

// proveTransfer has a, who talks with b, send b to c: then b and c hear each other, and neither knows another address than
// its own host's.
func proveTransfer(t *testing.T, a, b, c *person) {
	t.Helper()
	converse(t, a, b)
	ready(t, b.phone, c.phone)
	must(t, a.phone.(phone.Changer).Transfer(within(t, 2*answering), a.uri(c.user)))
	if a.kind == "linphonec" {
		must(t, a.phone.Hangup(within(t, closing)))
	}
	must(t, a.phone.WaitClosed(within(t, closing)))
	proveTransferred(t, b, c)
}

// proveTransferred expects that b has come to talk to c.
func proveTransferred(t *testing.T, b, c *person) {
	t.Helper()
	must(t, b.phone.WaitEstablished(within(t, answering)))
	must(t, c.phone.WaitEstablished(within(t, answering)))
	must(t, b.phone.WaitHeard(within(t, answering), talking))
	must(t, c.phone.WaitHeard(within(t, answering), talking))
	for _, m := range b.phone.Trace() {
		if refer := m.Header("Refer-To"); refer != "" && (m.Sent || !strings.Contains(refer, "<sip:"+c.user+"@127.0.0.1")) {
			t.Errorf("%s is sent to %s", b.phone.Name(), refer)
		}
	}
	must(t, c.phone.Hangup(within(t, closing)))
	must(t, c.phone.WaitClosed(within(t, closing)))
	// The end of b's first call, with a, says nothing about that of the second.
	b.wait("the call is over and its recording whole", func(s admin.Status) bool {
		_, err := b.phone.Outcome()
		return err == nil && len(s.Live) == 0
	})
	proveHeard(t, b.phone, c.hz)
	proveHeard(t, c.phone, b.hz)
}

// proveAttended has a talk with b and then with c, and connect the two.
func proveAttended(t *testing.T, a, b, c *person) {
	t.Helper()
	linphone := a.phone.(*phone.Linphone)
	converse(t, a, b)
	first := linphone.Call()
	must(t, linphone.Hold(within(t, answering)))
	converse(t, a, c)
	ready(t, b.phone)
	must(t, linphone.TransferToCall(within(t, 2*answering), first, linphone.Call()))
	proveTransferred(t, b, c)
	replaced := false
	for _, m := range c.phone.Trace() {
		replaced = replaced || m.Method == "INVITE" && m.Status == 0 && !m.Sent && m.Header("Replaces") != ""
	}
	if !replaced {
		t.Errorf("%s was called without Replaces", c.phone.Name())
	}
}
