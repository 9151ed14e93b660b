package sipbridge

import (
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/secp2psip/secp2psip/sipbridge/carry"
)

// UDPSocket is a UDP socket as net.ListenUDP opens it.
type UDPSocket interface {
	ReadFromUDPAddrPort(b []byte) (n int, from netip.AddrPort, err error)
	WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error)
	LocalAddr() net.Addr
	Close() error
}

// udpSocket is one UDP listener. All of UDP goes through it, in and out.
type udpSocket struct {
	b     *Bridge
	conn  UDPSocket
	local netip.AddrPort
}

func newUDPSocket(b *Bridge, conn UDPSocket) *udpSocket {
	a := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	return &udpSocket{b, conn, netip.AddrPortFrom(a.Addr().Unmap(), a.Port())}
}

// serve reads until the socket is closed.
func (s *udpSocket) serve() {
	buf := make([]byte, MaxMessage) // no datagram is longer
	w := newWorker(s.b)
	from := origin{sock: s, flow: carry.Flow{Transport: "udp", Local: s.local}}
	for {
		n, source, err := s.conn.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // on some systems, an ICMP error for something that we sent
			select {
			case <-s.b.ctx.Done():
				return
			case <-time.After(time.Millisecond): // whatever it is, no busy loop
			}
			continue
		}
		from.flow.Remote = netip.AddrPortFrom(source.Addr().Unmap(), source.Port())
		if s.local.Addr().IsUnspecified() {
			from.flow.Local = netip.AddrPortFrom(s.b.hosts.wayTo(from.flow.Remote.Addr()), s.local.Port())
		}
		if !s.b.admits(from.flow) {
			s.b.refused(RefusedStranger)
			continue
		}
		w.handle(buf[:n], &from)
	}
}

func (s *udpSocket) send(msg []byte, to netip.AddrPort) error {
	_, err := s.conn.WriteToUDPAddrPort(msg, to)
	return err
}

// admits is the filter that stands before the parser: this host may talk to us,
// others only where passwords guard the door; nothing that comes from our own
// sockets or claims to come from nowhere.
func (b *Bridge) admits(f carry.Flow) bool {
	a := f.Remote.Addr()
	if f.Remote.Port() == 0 || b.hosts.isOwnSocket(f.Remote) {
		return false
	}
	return b.hosts.isHere(f) || len(b.cfg.Digest) > 0 && !a.IsUnspecified() && !a.IsMulticast()
}

// socketFor finds the UDP socket to send from: the one that the phone knows,
// else the one that suits its address best, nil if none can.
func (b *Bridge) socketFor(f carry.Flow) *udpSocket {
	var match *udpSocket
	best := 0
	for _, s := range b.udp {
		rank := suits(s.local, f.Remote)
		switch {
		case rank == 0:
			continue
		case s.local == f.Local:
			return s
		case s.local.Port() == f.Local.Port():
			rank++
		}
		if rank > best {
			match, best = s, rank
		}
	}
	return match
}

// suits ranks a listener's address as a source towards a phone: 0 if it cannot
// be one. From a loopback address only this host is reached, and a phone on
// loopback reaches nothing else.
func suits(local, remote netip.AddrPort) int {
	switch {
	case local.Addr().Is4() != remote.Addr().Is4():
		return 0
	case local.Addr().IsUnspecified(), local.Addr().IsLoopback() == remote.Addr().IsLoopback():
		return 3
	}
	return 1 // the phone may be on this host, at its address on the network
}

// origin is where a message came from, and the way back.
type origin struct {
	flow carry.Flow
	sock *udpSocket // of UDP
	conn *tcpConn   // of TCP
}

// send writes a message back: over UDP to the given address, over TCP on the
// connection.
func (o *origin) send(msg []byte, to netip.AddrPort) error {
	if o.conn != nil {
		return o.conn.send(msg)
	}
	return o.sock.send(msg, to)
}
