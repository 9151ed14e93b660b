package testnet

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
)

// NAT is an address translator or stateful firewall in front of a node's
// socket: it lets in only what comes from an address and port that was sent to,
// until it is opened.
type NAT struct {
	open atomic.Bool
	deny atomic.Pointer[netip.AddrPort]
	shut atomic.Int64
}

// Open lets everything in from now on, or again nothing that was not asked for.
func (n *NAT) Open(open bool) { n.open.Store(open) }

// Deny keeps out whatever comes from there, so that no direct way can be opened,
// as where both translators give another port to everybody.
func (n *NAT) Deny(from netip.AddrPort) { n.deny.Store(&from) }

// Shut returns how many packets were kept out.
func (n *NAT) Shut() int64 { return n.shut.Load() }

// Socket opens a socket behind the translator, as link.Config has it.
func (n *NAT) Socket(at netip.AddrPort) (net.PacketConn, error) {
	sock, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		return nil, err
	}
	return &inside{PacketConn: sock, nat: n, sent: map[netip.AddrPort]bool{}}, nil
}

type inside struct {
	net.PacketConn
	nat *NAT

	mu   sync.Mutex
	sent map[netip.AddrPort]bool
}

func portOf(a net.Addr) netip.AddrPort {
	p := a.(*net.UDPAddr).AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}

// WriteTo implements net.PacketConn.
func (s *inside) WriteTo(b []byte, to net.Addr) (int, error) {
	s.mu.Lock()
	s.sent[portOf(to)] = true
	s.mu.Unlock()
	return s.PacketConn.WriteTo(b, to)
}

// ReadFrom implements net.PacketConn.
func (s *inside) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := s.PacketConn.ReadFrom(b)
		if err != nil {
			return n, from, err
		}
		s.mu.Lock()
		asked := s.sent[portOf(from)]
		s.mu.Unlock()
		if no := s.nat.deny.Load(); no != nil && *no == portOf(from) {
			continue
		}
		if asked || s.nat.open.Load() {
			return n, from, nil
		}
		s.nat.shut.Add(1)
	}
}

// SetReadBuffer and SetWriteBuffer are there because quic-go asks for them.
func (s *inside) SetReadBuffer(int) error { return nil }

// SetWriteBuffer does nothing.
func (s *inside) SetWriteBuffer(int) error { return nil }
