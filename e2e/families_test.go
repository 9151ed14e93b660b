//go:build e2e && linux

package e2e

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/e2e/internal/lab"
	"github.com/secp2psip/secp2psip/internal/admin"
)

// TestOnlyIPv6BetweenHosts: the phones know 127.0.0.1 only, the hosts have IPv6 only between them. People enrol with links
// that carry an IPv6 address, and call each other.
func TestOnlyIPv6BetweenHosts(t *testing.T) {
	t.Parallel()
	ann := spec{user: "ann", kind: "baresip", hz: callerHz, loopback: true, adapter: carrying}
	bob := spec{user: "bob", kind: "linphonec", hz: calledHz, loopback: true, adapter: carrying}
	ann.adapter.path, bob.adapter.path = "require-protected", "require-protected"
	o := newOfficeOn(t, lab.Plan{IPv6: true, Not4: true}, "require-protected", ann, bob)
	if link := o.invite("carl", "", 1); !strings.HasPrefix(link, "secp2psip://[fd00::1]:5870/") {
		t.Errorf("people are invited with %s", link)
	}
	protectedCall(t, o, ann, bob, true)
	s, err := o.people["ann"].status(within(t, starting))
	must(t, err)
	for _, l := range s.Links {
		if a, err := netip.ParseAddrPort(l.Addr); err != nil || !a.Addr().Is6() {
			t.Errorf("a link to %s: %v", l.Addr, err)
		}
	}
}

// TestBothFamilies: hosts with both families publish addresses of both, and reach hosts that have one only. In a call
// between two of them one family is lost at one end: the call goes on by the other, and the phones notice nothing.
func TestBothFamilies(t *testing.T) {
	t.Parallel()
	protected := carrying
	protected.path = "require-protected"
	ann := spec{user: "ann", kind: "baresip", hz: callerHz, loopback: true, adapter: protected}
	bob := spec{user: "bob", kind: "baresip", hz: calledHz, loopback: true, adapter: protected}
	four := spec{user: "four", kind: "baresip", hz: callerHz, loopback: true, only: "-4", adapter: protected}
	six := spec{user: "six", kind: "baresip", hz: calledHz, loopback: true, only: "-6", adapter: protected}
	o := newOfficeOn(t, lab.Plan{IPv6: true}, "require-protected", ann, bob)
	a, b := o.people["ann"], o.people["bob"]
	for _, p := range []*person{a, b} {
		s, err := p.status(within(t, starting))
		must(t, err)
		if want := []string{p.host.Addr.String() + ":5871", "[" + p.host.Addr6.String() + "]:5871"}; strings.Join(s.Advertised, " ") != strings.Join(want, " ") {
			t.Errorf("%s publishes %v, not %v", p.user, s.Advertised, want)
		}
	}
	// One after the other: members have to reach each other.
	for _, s := range []spec{four, six} {
		p := o.hire(s)
		must(t, p.phone.WaitRegistered(within(t, starting)))
		if s.only == "-4" {
			protectedCall(t, o, s, bob, false)
		} else {
			protectedCall(t, o, ann, s, true)
		}
		must(t, p.phone.Off(within(t, closing)))
		p.stop()
	}
	for round, lost := range []string{"-4", "-6"} {
		if round == 1 { // the family that was lost comes back, and the other one goes
			a.host.Regain("-4")
			a.wait("it has both families", func(s admin.Status) bool { return len(s.Advertised) == 2 })
		}
		loseFamily(t, a, b, lost)
	}
}

// loseFamily takes a family from the caller's host in a call, in which sound has to come again at both ends within 3 s.
func loseFamily(t *testing.T, a, b *person, lost string) {
	t.Helper()
	converse(t, a, b)
	before := map[*person]uint64{a: a.received(), b: b.received()}
	moved := time.Now()
	a.host.Lose(lost)
	for _, p := range []*person{a, b} {
		p.wait("it hears tones again without "+lost, func(s admin.Status) bool {
			return len(s.Live) == 1 && s.Live[0].Media.Received.Packets > before[p]+25
		})
	}
	took := time.Since(moved)
	t.Logf("half a second of sound more at both, %v after %s has lost %s", took.Round(10*time.Millisecond), a.user, lost)
	if took > 3*time.Second+time.Second/2 {
		t.Errorf("the tones are gone for %v", took-time.Second/2)
	}
	part(t, a, b)
}

// TestOneFamilyEach: ann's host has IPv4 only and bob's has IPv6 only; the bootstrap server and carl have both. Bob, who
// came later, is a client; what the two say to each other, and bob to members that he cannot reach, is passed on by those
// who have both families. They call each other, in both directions.
func TestOneFamilyEach(t *testing.T) {
	t.Parallel()
	protected := carrying
	protected.path = "require-protected"
	o := newOfficeOn(t, lab.Plan{IPv6: true}, "require-protected", spec{user: "carl", kind: "baresip", loopback: true, adapter: protected})
	ann := o.hire(spec{user: "ann", kind: "baresip", hz: callerHz, loopback: true, only: "-4", adapter: protected})
	must(t, ann.phone.WaitRegistered(within(t, starting)))
	ann.wait("it is a member", func(s admin.Status) bool { return s.Phase == "joined" })
	bob := o.hire(spec{user: "bob", kind: "linphonec", hz: calledHz, loopback: true, only: "-6", adapter: protected})
	must(t, bob.phone.WaitRegistered(within(t, starting)))
	bob.wait("it is a client of those that have both families", func(s admin.Status) bool {
		return s.Phase == "client" && s.Reach != nil && strings.Contains(s.Reach.Why, "IPv6 only") && len(s.Reach.Attached) == 2
	})
	protectedCall(t, o, ann.spec, bob.spec, true)
	converse(t, bob, ann)
	part(t, bob, ann)
	s, err := bob.status(within(t, starting))
	must(t, err)
	through := 0
	for _, l := range s.Links {
		a, err := netip.ParseAddrPort(l.Addr)
		if l.Via != "" {
			through++
		} else if err != nil || !a.Addr().Is6() {
			t.Errorf("bob has a link to %s: %v", l.Addr, err)
		}
	}
	if through == 0 {
		t.Errorf("nobody passes anything on for bob: %+v", s.Links)
	}
}
