package socket

import (
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// Conn is a UDP socket. What it does not do itself the standard library's does.
// Safe for concurrent use.
type Conn struct {
	*net.UDPConn
	raw syscall.RawConn
	six bool // an IPv6 socket, which may take IPv4, too

	in    sync.Mutex // held while one call receives; the same below
	taker taker
	take  func(fd uintptr) (done bool)
	batch *batch // after its first use

	out   sync.Mutex
	giver giver
	give  func(fd uintptr) (done bool)
}

// New takes over an unconnected socket. Close it, by either, when it is of no
// more use.
func New(c *net.UDPConn) (*Conn, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &Conn{UDPConn: c, raw: raw}
	var failed error
	if err := raw.Control(func(fd uintptr) {
		var domain int
		domain, failed = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DOMAIN)
		s.six = domain == unix.AF_INET6
	}); err != nil {
		return nil, err
	}
	if failed != nil {
		return nil, os.NewSyscallError("getsockopt", failed)
	}
	s.take, s.give = s.taker.run, s.giver.run
	return s, nil
}

// ReadFromUDPAddrPort is that of net.UDPConn.
func (s *Conn) ReadFromUDPAddrPort(b []byte) (n int, from netip.AddrPort, err error) {
	s.in.Lock()
	defer s.in.Unlock()
	t := &s.taker
	t.b, t.errno = b, 0
	err = s.raw.Read(s.take)
	t.b = nil
	switch {
	case err != nil:
		return 0, netip.AddrPort{}, err
	case t.errno != 0:
		return 0, netip.AddrPort{}, s.failed("read", "recvfrom", nil, t.errno)
	}
	return t.n, t.zoned(t.from.addrPort()), nil
}

// WriteToUDPAddrPort is that of net.UDPConn.
func (s *Conn) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	s.out.Lock()
	defer s.out.Unlock()
	g := &s.giver
	if !g.to.set(to, s.six) {
		return s.UDPConn.WriteToUDPAddrPort(b, to)
	}
	err := s.send(b, nil)
	switch {
	case err != nil:
		return 0, err
	case g.errno != 0:
		return 0, s.failed("write", "sendmsg", net.UDPAddrFromAddrPort(to), g.errno)
	}
	return g.n, nil
}

// WriteMsgUDP is that of net.UDPConn.
func (s *Conn) WriteMsgUDP(b, oob []byte, to *net.UDPAddr) (n, oobn int, err error) {
	if to == nil {
		return s.UDPConn.WriteMsgUDP(b, oob, to)
	}
	s.out.Lock()
	defer s.out.Unlock()
	g := &s.giver
	if to.Zone != "" || !g.to.set(to.AddrPort(), s.six) {
		return s.UDPConn.WriteMsgUDP(b, oob, to)
	}
	err = s.send(b, oob)
	switch {
	case err != nil:
		return 0, 0, err
	case g.errno != 0:
		return 0, 0, s.failed("write", "sendmsg", to, g.errno)
	}
	return g.n, len(oob), nil
}

// send has the giver send to where it has been told; s.out is held.
func (s *Conn) send(b, oob []byte) error {
	s.giver.prepare(b, oob)
	err := s.raw.Write(s.give)
	s.giver.forget()
	return err
}

// ReadBatch waits for packets and receives as many as are there, at most as many
// as there are messages, each of which has one buffer. It returns their number.
// The addresses are not to be changed. quic-go reads by it.
func (s *Conn) ReadBatch(ms []ipv4.Message, flags int) (int, error) {
	s.in.Lock()
	defer s.in.Unlock()
	if s.batch == nil || len(s.batch.heads) < len(ms) {
		s.batch = newBatch(len(ms))
	}
	t := s.batch
	t.prepare(ms, flags)
	err := s.raw.Read(t.take)
	defer t.forget()
	switch {
	case err != nil:
		return 0, err
	case t.errno != 0:
		return 0, s.failed("read", "recvmmsg", nil, t.errno)
	}
	t.unpack(ms[:t.n])
	return t.n, nil
}

// failed says what net.UDPConn would.
func (s *Conn) failed(op, call string, to net.Addr, errno unix.Errno) error {
	return &net.OpError{Op: op, Net: "udp", Source: s.LocalAddr(), Addr: to, Err: os.NewSyscallError(call, errno)}
}
