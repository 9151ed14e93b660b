package testnet

import (
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/secp2psip/secp2psip/internal/socket"
	"github.com/secp2psip/secp2psip/sipbridge"
)

// Memory is a network without the system's sockets, for tests in virtual time:
// a goroutine that reads from one of its sockets counts as waiting. A packet
// takes a millisecond.
type Memory struct {
	mu      sync.Mutex
	sockets map[netip.AddrPort]*memorySocket
	next    uint16 // the last free port that was given out
}

// NewMemory returns a network with nobody on it.
func NewMemory() *Memory {
	return &Memory{sockets: map[netip.AddrPort]*memorySocket{}, next: 49_151}
}

const (
	memoryDelay = time.Millisecond
	memoryQueue = 1024 // packets that wait at a socket; what does not fit is lost
)

type memorySocket struct {
	socket.Wake
	net *Memory
	at  netip.AddrPort
	in  chan memoryPacket

	ended chan struct{}
	once  sync.Once
}

type memoryPacket struct {
	from netip.AddrPort
	b    []byte
}

// Socket opens a socket, as link.Config has it. Port 0 takes a free one.
func (m *Memory) Socket(at netip.AddrPort) (net.PacketConn, error) { return m.listen(at) }

// Phones opens a socket for phones, as sipbridge.Config has it.
func (m *Memory) Phones(at netip.AddrPort) (sipbridge.UDPSocket, error) { return m.listen(at) }

func (m *Memory) listen(at netip.AddrPort) (*memorySocket, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if at.Port() == 0 {
		m.next = max(m.next+1, 49_152)
		at = netip.AddrPortFrom(at.Addr(), m.next)
	}
	if m.sockets[at] != nil {
		return nil, &net.OpError{Op: "listen", Net: "udp", Addr: net.UDPAddrFromAddrPort(at), Err: syscall.EADDRINUSE}
	}
	s := &memorySocket{net: m, at: at, in: make(chan memoryPacket, memoryQueue), ended: make(chan struct{})}
	m.sockets[at] = s
	return s, nil
}

func (m *Memory) deliver(to netip.AddrPort, p memoryPacket) {
	m.mu.Lock()
	s := m.sockets[to]
	m.mu.Unlock()
	if s == nil {
		return
	}
	select {
	case s.in <- p:
	default:
	}
}

// ReadFrom implements net.PacketConn.
func (s *memorySocket) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := s.ReadFromUDPAddrPort(b)
	if err != nil {
		return 0, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}

// ReadFromUDPAddrPort is that of a net.UDPConn.
func (s *memorySocket) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	select {
	case <-s.ended:
		return 0, netip.AddrPort{}, net.ErrClosed
	case <-s.Woken():
		return 0, netip.AddrPort{}, os.ErrDeadlineExceeded
	case p := <-s.in:
		return copy(b, p.b), p.from, nil
	}
}

// WriteTo implements net.PacketConn.
func (s *memorySocket) WriteTo(b []byte, to net.Addr) (int, error) {
	return s.WriteToUDPAddrPort(b, portOf(to))
}

// WriteToUDPAddrPort is that of a net.UDPConn.
func (s *memorySocket) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	p := memoryPacket{s.at, append([]byte(nil), b...)}
	time.AfterFunc(memoryDelay, func() { s.net.deliver(to, p) })
	return len(b), nil
}

// Close implements net.PacketConn.
func (s *memorySocket) Close() error {
	s.once.Do(func() {
		s.net.mu.Lock()
		delete(s.net.sockets, s.at)
		s.net.mu.Unlock()
		close(s.ended)
	})
	return nil
}

// LocalAddr implements net.PacketConn.
func (s *memorySocket) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(s.at) }
