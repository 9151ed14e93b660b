package portmap

import (
	"errors"
	"net/netip"
	"testing"
)

// What a router can have outside, and what the internet reaches of it.
func TestOutside(t *testing.T) {
	at, _ := home()
	for text, want := range map[string]struct{ refused, reserved bool }{
		"44.1.2.3":        {},
		"192.168.5.5":     {false, true},
		"100.64.0.9":      {false, true},
		"203.0.113.4":     {false, true},
		"0.0.0.0":         {refused: true, reserved: true},
		"255.255.255.255": {refused: true, reserved: true},
		"239.1.1.1":       {refused: true},
		"169.254.9.9":     {refused: true},
		"127.0.0.1":       {refused: true},
		"2001:db8::1":     {refused: true},
	} {
		a := netip.MustParseAddr(text)
		if err := outside(a, at); errors.Is(err, ErrNoOutside) != want.refused || reserved(a) != want.reserved {
			t.Errorf("%s: %v, reserved %v", text, err, reserved(a))
		}
	}
	if err := outside(loopback(2), Route{Gateway: loopback(1)}); err != nil {
		t.Errorf("a router on loopback: %v", err)
	}
}
