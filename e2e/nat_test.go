//go:build e2e && linux

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/e2e/internal/lab"
	"github.com/secp2psip/secp2psip/internal/admin"
)

// TestBehindRouters has people call each other whose hosts each stand behind a router of its own. Two whose routers keep
// ports come to talk directly; with one whose router does not, and between two such, what a member passes on cannot be read
// by whoever listens in the middle; and it goes on when a member dies through which somebody is called. Whose port is forwarded becomes a
// member himself, at the address that others see.
func TestBehindRouters(t *testing.T) {
	t.Parallel()
	o := newOfficeOf(t, "require-protected")
	for _, s := range []spec{
		{user: "carl", kind: "baresip", loopback: true}, {user: "dora", kind: "baresip", loopback: true}, {user: "emil", kind: "baresip", loopback: true},
	} {
		s.adapter.path = "require-protected"
		must(t, o.hire(s).phone.WaitRegistered(within(t, starting)))
	}
	ann := spec{user: "ann", kind: "baresip", hz: callerHz, loopback: true, nat: lab.PortKeeping}
	bob := spec{user: "bob", kind: "baresip", hz: calledHz, loopback: true, nat: lab.PortKeeping}
	sam := spec{user: "sam", kind: "linphonec", hz: calledHz, loopback: true, nat: lab.Symmetric}
	tim := spec{user: "tim", kind: "baresip", hz: callerHz, loopback: true, nat: lab.Symmetric}
	for _, s := range []*spec{&ann, &bob, &sam, &tim} {
		s.adapter = carrying
		s.adapter.path = "require-protected"
		p := o.hire(*s)
		must(t, p.phone.WaitRegistered(within(t, starting)))
		want := "endpoint-independent"
		if s.nat == lab.Symmetric {
			want = "dependent"
		}
		p.wait("it is a client of three members, and knows its translator", func(s admin.Status) bool {
			return s.Phase == "client" && s.Reach != nil && s.Reach.Client && len(s.Reach.Attached) == 3 && s.Reach.Mapping == want
		})
		var report admin.DoctorReport
		must(t, admin.Dial(p.state).Call(within(t, starting), admin.MethodDoctor, nil, &report))
		nat := check(report, "nat")
		for _, says := range []string{want, "STUN from 10.0.0.", "dialled back by nobody", "hole punching", "the router was not asked", "relayed by 3 members"} {
			if !strings.Contains(strings.ReplaceAll(nat.Detail, "address-dependent or symmetric", "dependent"), says) {
				t.Errorf("doctor says of %s's router %q, not %q", s.user, nat.Detail, says)
			}
		}
	}
	names := append(namesOf(o), overlay)
	middle, err := o.lab.Tap()
	must(t, err)
	protectedCall(t, o, ann, sam, true)
	o.people["ann"].wait("no direct way to sam", func(s admin.Status) bool { return !o.direct(s, "sam") })
	protectedCall(t, o, tim, sam, true)
	o.people["tim"].wait("no direct way to sam", func(s admin.Status) bool { return !o.direct(s, "sam") })
	protectedCall(t, o, ann, bob, false)
	o.people["ann"].wait("a direct way to bob", func(s admin.Status) bool { return o.direct(s, "bob") })
	wire := listen(middle.Stop(), names, callerHz, calledHz)
	if wire.frames < 500 || len(wire.words) > 0 || len(wire.rtp) > 0 || len(wire.tones) > 0 {
		t.Errorf("between the routers there are %d frames with %v, RTP %v, tones %v", wire.frames, wire.words, wire.rtp, wire.tones)
	}
	for _, p := range o.order[:3] { // what honest people behind routers say about themselves is no offence
		st, err := p.status(within(t, starting))
		must(t, err)
		if n := st.Refusals["node/dial_back_foreign"]; n > 0 {
			t.Errorf("%s was asked %d times to dial somebody else", p.user, n)
		}
	}
	s, err := o.people["sam"].status(within(t, starting))
	must(t, err)
	for _, p := range o.order[:3] {
		st, err := p.status(within(t, starting))
		must(t, err)
		if st.NodeID == s.Reach.Attached[0].ID || st.NodeID == s.Reach.Attached[1].ID {
			p.kill()
			break
		}
	}
	protectedCall(t, o, ann, sam, false)

	fay := spec{user: "fay", kind: "baresip", hz: calledHz, loopback: true, nat: lab.Open}
	fay.adapter.path = "require-protected"
	p := o.hire(fay)
	must(t, p.phone.WaitRegistered(within(t, starting)))
	p.wait("it is a member", func(s admin.Status) bool { return s.Phase == "joined" && s.Reach != nil && !s.Reach.Client })
	protectedCall(t, o, ann, fay, false)
}

// direct tells whether a node has a link to somebody's that nobody passes on.
func (o *office) direct(s admin.Status, to string) bool {
	o.t.Helper()
	st, err := o.people[to].status(within(o.t, starting))
	must(o.t, err)
	for _, l := range s.Links {
		if l.ID == st.NodeID && l.Via == "" {
			return true
		}
	}
	return false
}

// TestMovingHosts changes the addresses of both hosts in the middle of a call, first that of the caller, then that of
// the called one. Neither phone notices: the tones go on, and the call ends as the phones want.
func TestMovingHosts(t *testing.T) {
	t.Parallel()
	roaming := carrying
	roaming.path, roaming.roams = "require-protected", true
	o := newOfficeOf(t, "require-protected",
		spec{user: "alice", kind: "baresip", hz: callerHz, loopback: true, adapter: roaming},
		spec{user: "bob", kind: "baresip", hz: calledHz, loopback: true, adapter: roaming},
		spec{user: "carl", kind: "baresip", hz: calledHz, loopback: true, adapter: roaming},
	)
	alice, bob := o.people["alice"], o.people["bob"]
	ready(t, alice.phone, bob.phone)
	must(t, alice.phone.Dial(within(t, answering), alice.uri("bob")))
	must(t, alice.phone.WaitEstablished(within(t, answering)))
	must(t, bob.phone.WaitEstablished(within(t, answering)))
	must(t, alice.phone.WaitHeard(within(t, answering), talking))
	must(t, bob.phone.WaitHeard(within(t, answering), talking))
	heard := func(p *person) uint64 {
		s, err := p.status(within(t, starting))
		must(t, err)
		if len(s.Live) != 1 || s.Live[0].Media == nil {
			t.Fatalf("%s's calls: %+v", p.user, s.Live)
		}
		return s.Live[0].Media.Received.Packets
	}
	for _, who := range []*person{alice, bob, alice} {
		t.Log(who.user + " moves")
		before := map[*person]uint64{alice: heard(alice), bob: heard(bob)}
		moved := time.Now()
		who.host.Move()
		for _, p := range []*person{alice, bob} {
			p.wait(fmt.Sprintf("%s hears tones again after %s has moved", p.user, who.user), func(s admin.Status) bool {
				return len(s.Live) == 1 && s.Live[0].Media.Received.Packets > before[p]+25
			})
		}
		took := time.Since(moved)
		t.Logf("half a second of sound more at both, %v after %s has moved", took.Round(10*time.Millisecond), who.user)
		if took > 3*time.Second+time.Second/2 {
			t.Errorf("the tones are gone for %v", took-time.Second/2)
		}
	}
	must(t, alice.phone.Hangup(within(t, closing)))
	must(t, alice.phone.WaitClosed(within(t, closing)))
	must(t, bob.phone.WaitClosed(within(t, closing)))
	proveHeard(t, alice.phone, calledHz)
	proveHeard(t, bob.phone, callerHz)
	for _, p := range []*person{alice, bob} {
		p.wait("it is registered where it is now", func(s admin.Status) bool { return s.Phase == "joined" && len(s.Live) == 0 })
	}
	protectedCall(t, o, alice.spec, bob.spec, true)
}
