package portmap

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/libp2p/go-netroute"
)

// Route is the way out of this host.
type Route struct {
	Gateway netip.Addr
	Local   netip.Addr // this host's address towards it
}

// DefaultRoute asks the system for the way to the IPv4 internet. Errors:
// ErrNoGateway.
func DefaultRoute() (Route, error) {
	router, err := netroute.New()
	if err != nil {
		return Route{}, fmt.Errorf("%w: %w", ErrNoGateway, err)
	}
	// Nothing is sent there; any address of the internet would do.
	_, gateway, local, err := router.Route(net.IPv4(1, 1, 1, 1))
	if err != nil {
		return Route{}, fmt.Errorf("%w: %w", ErrNoGateway, err)
	}
	g, ok := netip.AddrFromSlice(gateway)
	l, okay := netip.AddrFromSlice(local)
	if g, l = g.Unmap(), l.Unmap(); !ok || !okay || !g.Is4() || g.IsUnspecified() || !l.Is4() {
		return Route{}, ErrNoGateway
	}
	return Route{g, l}, nil
}

// reserved are IPv4 networks that do not lead to a host from the internet, beside
// those that netip.Addr knows (RFC 6890).
func reserved(a netip.Addr) bool {
	for _, p := range []string{"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4"} {
		if netip.MustParsePrefix(p).Contains(a) {
			return true
		}
	}
	return a.IsPrivate()
}

// outside judges what a router says its address outside is.
func outside(a netip.Addr, at Route) error {
	a = a.Unmap()
	switch {
	case !a.Is4(), a.IsUnspecified(), a.IsMulticast(), a.IsLinkLocalUnicast(), a == netip.AddrFrom4([4]byte{255, 255, 255, 255}),
		a.IsLoopback() && !at.Gateway.IsLoopback():
		return fmt.Errorf("%w: it says %s", ErrNoOutside, a)
	}
	return nil
}
