package node

import (
	"net"
	"net/netip"
	"slices"

	"github.com/secp2psip/secp2psip/internal/wire"
)

// AdvertisedAddrs returns where others can reach a node that listens at the
// given address: the advertised addresses if there are any, the address
// itself if it names one interface, else those of all interfaces that are up,
// loopback only where there is nothing else. A valid hint, the address by
// which this host reached somebody, comes first.
func AdvertisedAddrs(listen netip.AddrPort, advertise []netip.AddrPort, hint netip.Addr) []netip.AddrPort {
	if listen.Port() == 0 && len(advertise) == 0 {
		return nil
	}
	if len(advertise) > 0 {
		return limit(advertise)
	}
	if listen.Addr().IsValid() && !listen.Addr().IsUnspecified() {
		return []netip.AddrPort{netip.AddrPortFrom(listen.Addr().Unmap(), listen.Port())}
	}
	var usable, loopback []netip.AddrPort
	if hint = hint.Unmap(); hint.IsValid() && !hint.IsUnspecified() && !hint.IsLoopback() {
		usable = append(usable, netip.AddrPortFrom(hint, listen.Port()))
	}
	for _, ip := range interfaceAddrs() {
		at := netip.AddrPortFrom(ip, listen.Port())
		switch {
		case ip.IsLoopback():
			loopback = append(loopback, at)
		case ip.IsGlobalUnicast() && !slices.Contains(usable, at):
			usable = append(usable, at)
		}
	}
	if len(usable) == 0 {
		usable = loopback
	}
	return limit(usable)
}

func limit(addrs []netip.AddrPort) []netip.AddrPort { return addrs[:min(len(addrs), wire.MaxAddrs)] }

// interfaceAddrs lists the host's addresses, IPv4 first.
func interfaceAddrs() []netip.Addr {
	var v4, v6 []netip.Addr
	for _, p := range interfacePrefixes() {
		if ip := p.Addr(); ip.Is4() {
			v4 = append(v4, ip)
		} else {
			v6 = append(v6, ip)
		}
	}
	return append(v4, v6...)
}

// interfacePrefixes lists the host's addresses with the lengths of their networks.
func interfacePrefixes() (out []netip.Prefix) {
	nets, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range nets {
		ipnet, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		ip, ok := netip.AddrFromSlice(ipnet.IP)
		if bits, _ := ipnet.Mask.Size(); ok {
			out = append(out, netip.PrefixFrom(ip.Unmap(), bits))
		}
	}
	return out
}

// The shortest prefixes that a network at an interface counts with as this host's
// own.
const (
	ownLeastIPv4 = 20
	ownLeastIPv6 = 56
)

// ownNetworks lists the public networks that a host with these addresses is in
// itself: who is in them is a neighbour and not a host from afar, as in a home or an office where
// everybody has a public IPv6 address.
func ownNetworks(at []netip.Prefix) (out []netip.Prefix) {
	for _, p := range at {
		least := ownLeastIPv6
		if p.Addr().Is4() {
			least = ownLeastIPv4
		}
		if p.Addr().IsGlobalUnicast() && !p.Addr().IsPrivate() && p.Bits() >= least {
			out = append(out, p.Masked())
		}
	}
	return out
}
