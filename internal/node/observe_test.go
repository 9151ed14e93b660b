package node

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/link"
)

func at(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func TestMappingIsToldByTwoObservers(t *testing.T) {
	own := []netip.AddrPort{at("192.168.1.2:5871")}
	saw := func(observer string, owner byte, seen string) Sighting {
		return Sighting{Observer: at(observer), Owner: identity.OwnerTag{owner}, Seen: at(seen)}
	}
	for _, tc := range []struct {
		name     string
		seen     []Sighting
		want     Mapping
		verified []netip.AddrPort
	}{
		{"nobody answers", nil, MappingUnknown, nil},
		{"no translator", []Sighting{saw("10.0.0.1:1", 1, "192.168.1.2:5871")}, MappingNone, nil},
		{"one observer", []Sighting{saw("10.0.0.1:1", 1, "203.0.113.1:7")}, MappingUnknown, nil},
		{"one beside a neighbour", []Sighting{saw("192.168.1.9:1", 2, "192.168.1.2:5871"), saw("10.0.0.1:1", 1, "203.0.113.1:7")}, MappingUnknown, nil},
		{"the same for all", []Sighting{saw("10.0.0.1:1", 1, "203.0.113.1:7"), saw("10.0.0.2:1", 2, "203.0.113.1:7")}, MappingIndependent, []netip.AddrPort{at("203.0.113.1:7")}},
		{"the same for one person's nodes", []Sighting{saw("10.0.0.1:1", 1, "203.0.113.1:7"), saw("10.0.0.2:1", 1, "203.0.113.1:7")}, MappingIndependent, nil},
		{"two ports of one host", []Sighting{saw("10.0.0.1:1", 1, "203.0.113.1:7"), saw("10.0.0.1:2", 2, "203.0.113.1:7")}, MappingUnknown, []netip.AddrPort{at("203.0.113.1:7")}},
		{"another for each host", []Sighting{saw("10.0.0.1:1", 1, "203.0.113.1:7"), saw("10.0.0.2:1", 2, "203.0.113.1:8")}, MappingDependent, nil},
		{"another for each host, not for each port", []Sighting{
			saw("10.0.0.1:1", 1, "203.0.113.1:7"), saw("10.0.0.2:1", 2, "203.0.113.1:8"), saw("10.0.0.1:2", 1, "203.0.113.1:7"),
		}, MappingAddress, nil},
		{"another for each port", []Sighting{
			saw("10.0.0.1:1", 1, "203.0.113.1:7"), saw("10.0.0.2:1", 2, "203.0.113.1:8"), saw("10.0.0.1:2", 1, "203.0.113.1:9"),
		}, MappingSymmetric, nil},
		{"two families", []Sighting{saw("10.0.0.1:1", 1, "203.0.113.1:7"), saw("[2001:db8::1]:1", 2, "[2001:db8::7]:7")}, MappingUnknown, nil},
	} {
		for range 2 { // in whichever order they come
			got := reflect(own, tc.seen)
			if got.Mapping != tc.want || !slices.Equal(got.Verified, tc.verified) {
				t.Errorf("%s: %s %v, want %s %v", tc.name, got.Mapping, got.Verified, tc.want, tc.verified)
			}
			slices.Reverse(tc.seen)
		}
	}
}

// However many addresses are asked for, what is sent because of one question
// stays below thrice its bytes.
func TestPunchAmplifiesNothing(t *testing.T) {
	for n := range 9 {
		for _, asked := range []int{0, 30, 200, 1000} {
			if sent := knocks(asked, n) * n * link.KnockBytes; sent > punchGain*asked {
				t.Errorf("%d bytes to %d addresses for %d", sent, n, asked)
			}
		}
	}
	if knocks(punchPadding, 8) != punchKnocks {
		t.Errorf("the padding is for %d knocks only", knocks(punchPadding, 8))
	}
}
