//go:build e2e && linux

package e2e

import (
	"fmt"
	"testing"

	"github.com/secp2psip/secp2psip/internal/admin"
)

// TestProtected makes the calls of the matrix on the protected path, between phones that listen on 127.0.0.1 only, each
// beside its adapter on a host of its own: {baresip, linphonec} calling, with and without an outbound proxy, following a
// 302 or not, to {baresip, linphonec}. All the while somebody listens on the network between the hosts, and learns
// nothing; and on one host's loopback, which shows that they would.
func TestProtected(t *testing.T) {
	t.Parallel()
	callers, called := matrixPhones()
	everybody := append(callers, called...)
	var names []string
	for i := range everybody {
		s := &everybody[i]
		s.loopback, s.adapter.path = true, "require-protected"
		if i < len(callers) {
			s.hz = callerHz
		}
		names = append(names, "sip:"+s.user, s.user+"@")
	}
	o := newOfficeOf(t, "require-protected", everybody...)
	middle, err := o.lab.Tap()
	must(t, err)
	inside, err := o.people["olga"].host.TapLoopback()
	must(t, err)
	t.Run("calls", func(t *testing.T) {
		for i, to := range everybody[len(callers):] {
			t.Run("to "+to.kind, func(t *testing.T) {
				t.Parallel()
				for j := range callers {
					from := everybody[(j+i*len(callers)/2)%len(callers)]
					t.Run(nameOf(from), func(t *testing.T) { protectedCall(t, o, from, to, j%2 == 1) })
				}
			})
		}
	})
	wire, own := listen(middle.Stop(), append(names, overlay), callerHz, calledHz), listen(inside.Stop(), names, callerHz, calledHz)
	t.Logf("between the hosts: %d frames, %v", wire.frames, wire.ports)
	if len(wire.words) > 0 || len(wire.rtp) > 0 {
		t.Errorf("between the hosts there are %v and RTP %v", wire.words, wire.rtp)
	}
	for port := range wire.ports {
		if port != fmt.Sprint("udp ", ringPort) && port != fmt.Sprint("udp ", serverPort) {
			t.Errorf("%d packets between the hosts are of %s", wire.ports[port], port)
		}
	}
	if wire.frames < 1000 || own.words["INVITE"] == 0 || own.words["sip:olga"] == 0 || len(own.rtp) == 0 {
		t.Errorf("whoever listens is deaf: %d frames; at home %v, RTP %v", wire.frames, own.words, own.rtp)
	}
	for _, hz := range []float64{callerHz, calledHz} {
		if wire.tones[hz] > 0 || own.tones[hz] < 100 {
			t.Errorf("%v Hz is heard in %d packets between the hosts, in %d at home", hz, wire.tones[hz], own.tones[hz])
		}
	}
}

func protectedCall(t *testing.T, o *office, from, to spec, calledHangsUp bool) {
	a, b := o.people[from.user], o.people[to.user]
	a.busy.Lock() // a phone cannot be in two calls
	defer a.busy.Unlock()
	c := call{from: a.phone, to: b.phone, uri: a.uri(to.user), followed: no, calledHangsUp: calledHangsUp}
	if from.adapter.redirect == "always" {
		c.followed = yes
	}
	proveCall(t, c)
	var got admin.Status
	a.run(statusCommand(a.state), &got)
	if len(got.Calls) == 0 || got.Calls[0].Path != "protected" || !got.Calls[0].Verified {
		t.Errorf("%s's last call is %+v", from.user, got.Calls)
	}
	for _, m := range b.phone.Trace() {
		if m.Method == "INVITE" && m.Status == 0 && !m.Sent && via(t, b.phone) != "127.0.0.1" {
			t.Errorf("the INVITE reached %s from %s", b.phone.Name(), via(t, b.phone))
		}
	}
}
