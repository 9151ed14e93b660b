package adapter_test

import (
	"net/netip"
	"testing"

	"github.com/secp2psip/secp2psip/adapter"
	"github.com/secp2psip/secp2psip/bootstrap"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/testnet"
)

// Hosts that have IPv6 only enrol, join, and carry the calls of phones that have
// IPv4 only, each at its own adapter.
func TestIPv4PhonesAcrossIPv6Links(t *testing.T) {
	t.Parallel()
	six := netip.MustParseAddrPort("[::1]:0")
	l := testnet.New(t, func(c *bootstrap.Config) { c.Charter.Paths, c.Listen = []string{"protected"}, six })
	only := func(c *adapter.Config) { c.Listen = six }
	a, b := l.Add("alice", only), l.Add("bob", only)
	alice, bob := a.Phone(toneA), b.Phone(toneB)
	for _, m := range []*testnet.Member{a, b} {
		for _, at := range m.It.Node().Self().Addrs {
			if !at.Addr().Is6() {
				t.Errorf("%s is sought at %v", m.Name, at)
			}
		}
	}
	hangUp := inCall(t, a, b, alice, bob)
	more(t, "across IPv6", a, b)
	links := 0
	for _, m := range []*testnet.Member{a, b} {
		for _, p := range m.It.Node().Link().Peers() {
			links++
			if p.Via == (identity.NodeID{}) && !p.Addr.Addr().Is6() {
				t.Errorf("%s has a link to %v", m.Name, p.Addr)
			}
		}
	}
	if links == 0 {
		t.Error("there are no links")
	}
	if drop(a, b) == 0 {
		t.Error("there was nothing to cut")
	}
	more(t, "after a cut", a, b)
	hangUp(true)
}
