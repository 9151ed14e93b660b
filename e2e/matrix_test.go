//go:build e2e && linux

package e2e

import (
	"net"
	"strings"
	"testing"

	"github.com/secp2psip/secp2psip/e2e/internal/phone"
)

// TestMatrix makes 16 calls: {baresip, linphonec} calling, with and without an outbound proxy, from an adapter that
// always redirects and from one that never does, to {baresip, linphonec}.
//
// Each caller has a host of its own, so all are up at once; the calls to one phone follow each other, since it serves
// one at a time.
func TestMatrix(t *testing.T) {
	t.Parallel()
	callers, called := matrixPhones()
	for i := range callers {
		callers[i].hz = callerHz
	}
	o := newOfficeOf(t, "direct,carried", append(callers, called...)...)
	for i, to := range called {
		t.Run("to "+to.kind, func(t *testing.T) {
			t.Parallel()
			// The second phone's callers come in another order, so that the two rarely wait for each other.
			for j := range callers {
				from := callers[(j+i*len(callers)/2)%len(callers)]
				t.Run(nameOf(from), func(t *testing.T) { matrixCall(t, o, from, to, j%2 == 1) })
			}
		})
	}
}

// matrixPhones are the phones that call and those that are called.
func matrixPhones() (callers, called []spec) {
	callers = []spec{
		{user: "ann", kind: "baresip", adapter: redirecting},
		{user: "ben", kind: "baresip", adapter: redirecting, proxy: true},
		{user: "cleo", kind: "baresip", adapter: carrying},
		{user: "dan", kind: "baresip", adapter: carrying, proxy: true},
		{user: "eve", kind: "linphonec", adapter: redirecting},
		{user: "fay", kind: "linphonec", adapter: redirecting, proxy: true},
		{user: "gus", kind: "linphonec", adapter: carrying},
		{user: "hal", kind: "linphonec", adapter: carrying, proxy: true},
	}
	called = []spec{
		{user: "olga", kind: "baresip", hz: calledHz},
		{user: "paul", kind: "linphonec", hz: calledHz},
	}
	return callers, called
}

var (
	redirecting = adapterOptions{redirect: "always"}
	carrying    = adapterOptions{redirect: "never"}
)

func nameOf(s spec) string {
	parts := []string{s.kind}
	if s.proxy {
		parts = append(parts, "proxy")
	}
	if s.adapter.redirect == redirecting.redirect {
		return strings.Join(append(parts, "302"), " ")
	}
	return strings.Join(append(parts, "carried"), " ")
}

func matrixCall(t *testing.T, o *office, from, to spec, calledHangsUp bool) {
	a, b := o.people[from.user], o.people[to.user]
	a.busy.Lock() // a phone cannot be in two calls
	defer a.busy.Unlock()
	c := call{from: a.phone, to: b.phone, uri: a.uri(to.user), followed: no, calledHangsUp: calledHangsUp}
	if from.adapter == redirecting {
		c.followed = yes
	}
	proveCall(t, c)

	// Only a phone that follows a 302 past its adapter reaches the other phone by itself. And linphonec can be reached
	// so, but it would send its sound to the caller in vain: with a registrar at 127.0.0.1 it answers that this is where
	// it listens itself, so it must not be offered.
	direct := from.adapter == redirecting && from.kind == "baresip" && !from.proxy && to.kind == "baresip"
	via := via(t, b.phone)
	if got := via == a.host.Addr.String(); got != direct {
		t.Errorf("the INVITE reached %s from %s; that the caller's phone sent it is %v, want %v", b.phone.Name(), via, got, direct)
	}
}

// via gives the host that sent a phone its INVITE.
func via(t *testing.T, p phone.Phone) string {
	t.Helper()
	for _, m := range p.Trace() {
		if m.Method == "INVITE" && m.Status == 0 && !m.Sent {
			_, sentBy, _ := strings.Cut(m.Header("Via"), " ")
			sentBy, _, _ = strings.Cut(sentBy, ";")
			host, _, err := net.SplitHostPort(strings.TrimSpace(sentBy))
			if err != nil {
				return sentBy
			}
			return host
		}
	}
	t.Fatalf("%s has no INVITE in its trace", p.Name())
	return ""
}
