package node

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestAdvertisedAddrs(t *testing.T) {
	at := netip.MustParseAddrPort
	named := []netip.AddrPort{at("192.0.2.7:5870"), at("[2001:db8::7]:5870")}
	if got := AdvertisedAddrs(at("0.0.0.0:1"), named, netip.Addr{}); !slices.Equal(got, named) {
		t.Errorf("named addresses: %v", got)
	}
	if got := AdvertisedAddrs(at("127.0.0.1:5870"), nil, netip.Addr{}); !slices.Equal(got, []netip.AddrPort{at("127.0.0.1:5870")}) {
		t.Errorf("one address: %v", got)
	}
	if got := AdvertisedAddrs(at("127.0.0.1:0"), nil, netip.Addr{}); got != nil {
		t.Errorf("no port yet: %v", got)
	}
	got := AdvertisedAddrs(at("0.0.0.0:5870"), nil, netip.MustParseAddr("192.0.2.9"))
	if len(got) == 0 || got[0] != at("192.0.2.9:5870") {
		t.Errorf("the address by which others were reached is not the first: %v", got)
	}
	for _, a := range got {
		if a.Addr().IsLoopback() || a.Port() != 5870 {
			t.Errorf("%v beside an address that others reach", a)
		}
	}
}

func TestPortsThatCannotBeHad(t *testing.T) {
	sock, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	taken := sock.LocalAddr().(*net.UDPAddr).AddrPort()
	err = TryPort(taken)
	if !errors.Is(err, ErrPort) || !strings.Contains(err.Error(), "--listen") || !strings.Contains(err.Error(), taken.String()) {
		t.Errorf("a port in use: %v", err)
	}
	sock.Close()
	if err := TryPort(taken); err != nil {
		t.Errorf("a free port: %v", err)
	}
	if err := TryPort(netip.MustParseAddrPort("192.0.2.1:5870")); !errors.Is(err, ErrPort) {
		t.Errorf("an address of another host: %v", err)
	}
	if err := TryPort(netip.AddrPort{}); err != nil {
		t.Errorf("any port: %v", err)
	}
}

func TestCounterIsBounded(t *testing.T) {
	told := 0
	c := NewCounter(func(string, string) { told++ })
	for i := range 10 * maxCounted {
		c.Count("room", strings.Repeat("x", i%(2*maxCounted)))
	}
	sum := uint64(0)
	for _, n := range c.Counts() {
		sum += n
	}
	if len(c.Counts()) > maxCounted+1 || sum != 10*maxCounted || told != 10*maxCounted {
		t.Errorf("%d reasons, %d counted, %d told", len(c.Counts()), sum, told)
	}
}

func TestOwnNetworks(t *testing.T) {
	p := netip.MustParsePrefix
	got := ownNetworks([]netip.Prefix{
		p("127.0.0.1/8"), p("192.168.1.2/24"), p("fe80::1/64"), p("fd00::1/64"), p("::1/128"),
		p("203.0.113.7/24"), p("2001:db8:1:2::7/64"), p("198.51.100.1/16"), p("2001:db8:9::1/48"),
	})
	if want := []netip.Prefix{p("203.0.113.0/24"), p("2001:db8:1:2::/64")}; !slices.Equal(got, want) {
		t.Errorf("%v, not %v", got, want)
	}
	if !slices.ContainsFunc(interfacePrefixes(), func(p netip.Prefix) bool { return p.Addr().IsLoopback() && p.Bits() > 0 }) {
		t.Errorf("no loopback network among %v", interfacePrefixes())
	}
}
