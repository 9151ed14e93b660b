package link

import (
	"net/netip"
	"testing"
	"time"
)

// Where the host has lost every way to the other side, as with a whole address
// family, the connection is closed soon, and another address can be tried.
func TestNoWayIsNoticedSoon(t *testing.T) {
	began := time.Now()
	nowhere := netip.MustParseAddrPort("[2001:db8::1]:5871") // RFC 3849: routed nowhere
	if _, err := sourceFor(nowhere); err == nil {
		nowhere = netip.MustParseAddrPort("[fe80::1]:5871") // a default route leads anywhere but there: no zone
	}
	if routed(t.Context(), nowhere) {
		t.Errorf("there is a way to %v", nowhere)
	}
	if took := time.Since(began); took < routeTime {
		t.Errorf("given up after %v", took)
	}
	if !routed(t.Context(), netip.MustParseAddrPort("127.0.0.1:5871")) {
		t.Error("there is no way to this host")
	}
}
