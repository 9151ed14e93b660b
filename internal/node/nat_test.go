package node_test

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
)

// nat lets in only what comes from an address and port that was sent to, as an
// address translator or a stateful firewall does, until it is opened.
type nat struct {
	net.PacketConn
	open *atomic.Bool
	shut *atomic.Int64 // packets kept out

	mu   sync.Mutex
	sent map[netip.AddrPort]bool
}

// behindNAT returns a socket factory for a node's configuration, and the switch
// that opens the translator. Only the node's own socket stands behind it; a
// second one, for a probe, is a host's as any other.
func behindNAT() (open *atomic.Bool, shut *atomic.Int64, socket func(netip.AddrPort) (net.PacketConn, error)) {
	open, shut = new(atomic.Bool), new(atomic.Int64)
	return open, shut, func(at netip.AddrPort) (net.PacketConn, error) {
		sock, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at))
		if err != nil {
			return nil, err
		}
		return &nat{PacketConn: sock, open: open, shut: shut, sent: map[netip.AddrPort]bool{}}, nil
	}
}

func portOf(a net.Addr) netip.AddrPort {
	p := a.(*net.UDPAddr).AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}

// WriteTo implements net.PacketConn.
func (n *nat) WriteTo(b []byte, to net.Addr) (int, error) {
	n.mu.Lock()
	n.sent[portOf(to)] = true
	n.mu.Unlock()
	return n.PacketConn.WriteTo(b, to)
}

// ReadFrom implements net.PacketConn.
func (n *nat) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		size, from, err := n.PacketConn.ReadFrom(b)
		if err != nil {
			return size, from, err
		}
		n.mu.Lock()
		in := n.sent[portOf(from)]
		n.mu.Unlock()
		if in || n.open.Load() {
			return size, from, nil
		}
		n.shut.Add(1)
	}
}
