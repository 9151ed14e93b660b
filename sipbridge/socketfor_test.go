package sipbridge

import (
	"net/netip"
	"testing"

	"github.com/secp2psip/secp2psip/sipbridge/carry"
)

// TestSocketForSuitsThePhone: an adapter that listens on loopback and on the
// LAN reaches each phone from the address that it can answer to.
func TestSocketForSuitsThePhone(t *testing.T) {
	at := netip.MustParseAddrPort
	b := &Bridge{}
	for _, a := range []string{"127.0.0.1:5060", "192.168.1.13:5060", "[::1]:5060"} {
		b.udp = append(b.udp, &udpSocket{local: at(a)})
	}
	for _, tt := range []struct{ remote, local, want string }{
		{"192.168.1.50:5060", "", "192.168.1.13:5060"},
		{"127.0.0.1:5062", "", "127.0.0.1:5060"},
		{"[::1]:5062", "", "[::1]:5060"},
		{"127.0.0.1:5062", "192.168.1.13:5060", "192.168.1.13:5060"}, // the one that the phone knows
	} {
		f := carry.Flow{Transport: "udp", Remote: at(tt.remote)}
		if tt.local != "" {
			f.Local = at(tt.local)
		}
		if s := b.socketFor(f); s == nil || s.local != at(tt.want) {
			t.Errorf("to %s from %v, want %s", tt.remote, s, tt.want)
		}
	}
	if s := b.socketFor(carry.Flow{Transport: "udp", Remote: at("[2001:db8::1]:5060")}); s == nil || s.local != at("[::1]:5060") {
		t.Errorf("a phone on this host, at its address on the network: from %v", s)
	}
	b.udp = b.udp[:2]
	if s := b.socketFor(carry.Flow{Transport: "udp", Remote: at("[2001:db8::1]:5060")}); s != nil {
		t.Errorf("IPv6 from %v", s.local)
	}
}
