//go:build e2e && linux

package e2e

import (
	"testing"

	"github.com/secp2psip/secp2psip/internal/admin"
)

// TestBootstrapServerIsGone: once people are enrolled, neither calls nor a restarted adapter need the server.
func TestBootstrapServerIsGone(t *testing.T) {
	t.Parallel()
	o := newOffice(t,
		spec{user: "alice", kind: "baresip", hz: callerHz},
		spec{user: "bob", kind: "linphonec", hz: calledHz},
		spec{user: "carol", kind: "baresip", hz: calledHz},
	)
	alice, bob, carol := o.people["alice"], o.people["bob"], o.people["carol"]
	o.server.kill()

	proveCall(t, call{from: alice.phone, to: bob.phone, uri: alice.uri("bob")})
	proveCall(t, call{from: alice.phone, to: carol.phone, uri: alice.uri("carol"), calledHangsUp: true})

	bob.stop()
	bob.start()
	o.settled(3)
	proveCall(t, call{from: alice.phone, to: bob.phone, uri: alice.uri("bob")})
	proveCall(t, call{from: alice.phone, to: carol.phone, uri: alice.uri("carol")})
}

// TestPowerCut: everything is killed and started again, and calls go on without anybody registering anew: the phones,
// which know nothing of it, send no REGISTER in between.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	o := newOffice(t,
		spec{user: "alice", kind: "baresip", hz: callerHz},
		spec{user: "bob", kind: "linphonec", hz: calledHz},
		spec{user: "carol", kind: "baresip", proxy: true, hz: calledHz},
	)
	alice, bob, carol := o.people["alice"], o.people["bob"], o.people["carol"]
	proveCall(t, call{from: alice.phone, to: bob.phone, uri: alice.uri("bob")})
	ready(t, alice.phone, bob.phone, carol.phone)

	o.server.kill()
	for _, p := range o.order {
		p.kill()
	}
	o.server.start()
	for _, p := range o.order {
		p.start()
	}
	o.settled(4)
	for _, p := range o.order {
		for _, m := range p.phone.Trace() {
			if m.Method == "REGISTER" {
				t.Errorf("%s registered anew: the test proves nothing", p.phone.Name())
			}
		}
		p.wait("the phone is known again", func(s admin.Status) bool {
			return len(s.Accounts) == 1 && len(s.Accounts[0].Phones) == 1
		})
	}
	proveCall(t, call{from: alice.phone, to: bob.phone, uri: alice.uri("bob"), calledHangsUp: true})
	proveCall(t, call{from: alice.phone, to: carol.phone, uri: alice.uri("carol")})

	// The server is its old self: it enrols the next one.
	erin := o.hire(spec{user: "erin", kind: "baresip", hz: callerHz})
	must(t, erin.phone.WaitRegistered(within(t, starting)))
	o.settled(5)
	proveCall(t, call{from: erin.phone, to: bob.phone, uri: erin.uri("bob")})
}
