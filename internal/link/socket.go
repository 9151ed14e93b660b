package link

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/secp2psip/secp2psip/internal/socket"
)

// listenUDP binds the socket. The unspecified IPv6 address and the zero address
// take both families where the host has both.
func listenUDP(at netip.AddrPort) (net.PacketConn, error) {
	addr := at.Addr()
	if !addr.IsValid() {
		addr = netip.IPv6Unspecified()
	}
	network := "udp6"
	switch {
	case addr.Is4() || addr.Is4In6():
		network, addr = "udp4", addr.Unmap()
	case addr.IsUnspecified():
		network = "udp"
	}
	sock, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, at.Port())))
	if err != nil && !at.Addr().IsValid() { // a host without IPv6
		sock, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.IPv4Unspecified(), at.Port())))
	}
	if err != nil {
		return nil, fmt.Errorf("link: listen on UDP: %w", err)
	}
	quick, err := socket.New(sock)
	if err != nil {
		_ = sock.Close()
		return nil, fmt.Errorf("link: listen on UDP: %w", err)
	}
	return steady{quick}, nil
}

// addrPort returns a's address in the one form that this package uses: no IPv4
// inside IPv6.
func addrPort(a net.Addr) netip.AddrPort {
	u, ok := a.(*net.UDPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := u.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// sourceFor returns the address from which this host sends to remote. A
// connected UDP socket knows; no packet is sent.
func sourceFor(remote netip.AddrPort) (netip.Addr, error) {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(remote))
	if err != nil {
		return netip.Addr{}, fmt.Errorf("link: no route to %s: %w", remote, err)
	}
	defer c.Close()
	return addrPort(c.LocalAddr()).Addr(), nil
}
