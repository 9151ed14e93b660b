package node

import (
	"net/netip"
	"testing"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// The smaller side yields, IPv6 where both are as large; one owner, with however
// many members, moves nobody out of a ring of IPv4, and a node with both families
// stays.
func TestWhoYields(t *testing.T) {
	four, six := netip.MustParseAddrPort("192.0.2.1:5070"), netip.MustParseAddrPort("[2001:db8::1]:5070")
	members := func(fours, sixes, duals int) (out []wire.Peer) {
		add := func(count int, at ...netip.AddrPort) {
			for range count {
				out = append(out, wire.Peer{Owner: identity.OwnerTag{byte(len(out) + 1)}, Addrs: at})
			}
		}
		add(fours, four)
		add(sixes, six)
		add(duals, four, six)
		return out
	}
	own := identity.OwnerTag{99}
	for _, c := range []struct {
		self                []netip.AddrPort
		fours, sixes, duals int
		yields              bool
	}{
		{[]netip.AddrPort{six}, 1, 0, 1, true},
		{[]netip.AddrPort{six}, 1, 1, 5, false},
		{[]netip.AddrPort{six}, 4, 3, 0, true},
		{[]netip.AddrPort{six}, 0, 0, 3, false},
		{[]netip.AddrPort{four}, 0, 1, 1, false},
		{[]netip.AddrPort{four}, 0, 2, 1, true},
		{[]netip.AddrPort{four}, 1, 2, 9, false},
		{[]netip.AddrPort{four, six}, 5, 5, 0, false},
		{nil, 5, 5, 0, false},
	} {
		if got := yields(c.self, own, members(c.fours, c.sixes, c.duals)); got != c.yields {
			t.Errorf("%v among %d with IPv4, %d with IPv6, %d with both: %t", c.self, c.fours, c.sixes, c.duals, got)
		}
	}
	one := members(0, 8, 0)
	for i := range one {
		one[i].Owner = identity.OwnerTag{1}
	}
	if yields([]netip.AddrPort{four}, own, one) {
		t.Error("one owner's members moved a node out")
	}
}
