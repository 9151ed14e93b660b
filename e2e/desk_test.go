//go:build e2e && linux

package e2e

import (
	"strings"
	"testing"
)

// TestDeskPhones: phones that cannot run an adapter beside them stand on the LAN and prove a password.
func TestDeskPhones(t *testing.T) {
	t.Parallel()
	o := newOffice(t,
		spec{user: "alice", kind: "linphonec", hz: callerHz},
		spec{user: "dora", kind: "baresip", desk: true, hz: calledHz},
		spec{user: "emil", kind: "linphonec", desk: true, hz: callerHz},
	)
	alice, dora, emil := o.people["alice"], o.people["dora"], o.people["emil"]
	proveCall(t, call{from: alice.phone, to: dora.phone, uri: alice.uri("dora")})
	proveCall(t, call{from: emil.phone, to: dora.phone, uri: emil.uri("dora"), calledHangsUp: true})

	// Without a password anybody near could call in the owner's name: the program does not start.
	host := o.lab.Host("careless")
	argv := adapterCommand(host.Dir+"/state", host.Addr, o.invite("frida", "", 1), adapterOptions{listen: "udp:" + host.Addr.String() + ":5060"})
	if _, err := host.Run(within(t, starting), command(t, argv)...); err == nil || !strings.Contains(err.Error(), "password") {
		t.Errorf("an adapter on a LAN address without a password: %v", err)
	}
}
