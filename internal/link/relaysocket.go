package link

import (
	"net"
	"os"
	"time"

	"github.com/secp2psip/secp2psip/internal/socket"
)

// relayQueue is how many sealed packets wait to be read by this node.
const relayQueue = 512

// relaySocket is a net.PacketConn whose packets travel as datagrams through
// peers. quic-go runs on it as on a UDP socket.
type relaySocket struct {
	socket.Wake
	link *Link
	in   chan relayedPacket
}

type relayedPacket struct {
	from relayAddr
	b    []byte
}

func newRelaySocket(l *Link) *relaySocket {
	return &relaySocket{link: l, in: make(chan relayedPacket, relayQueue)}
}

// deliver takes in what a peer has passed on. It never blocks.
func (s *relaySocket) deliver(from relayAddr, b []byte) {
	select {
	case s.in <- relayedPacket{from, append([]byte(nil), b...)}:
	default:
		s.link.cfg.Refused(ReasonSealedFull)
	}
}

// ReadFrom implements net.PacketConn.
func (s *relaySocket) ReadFrom(b []byte) (int, net.Addr, error) {
	wake := s.Woken()
	select {
	case <-wake:
		return 0, nil, os.ErrDeadlineExceeded
	default:
	}
	select {
	case p := <-s.in:
		return copy(b, p.b), p.from, nil
	case <-wake:
		return 0, nil, os.ErrDeadlineExceeded
	}
}

// WriteTo implements net.PacketConn. What the peer's link cannot take is lost,
// as on any path.
func (s *relaySocket) WriteTo(b []byte, to net.Addr) (int, error) {
	a, ok := to.(relayAddr)
	if !ok {
		return 0, net.InvalidAddrError("not a node")
	}
	via := s.link.pool.direct(a.via)
	if via == nil || len(b) > sealedPacket {
		return len(b), nil
	}
	var buf [sealedHead + sealedPacket]byte
	_ = via.SendDatagram(appendSealed(buf[:0], sealedOn, a.node, b)) // counted there
	return len(b), nil
}

// Close implements net.PacketConn.
func (s *relaySocket) Close() error { return s.SetReadDeadline(time.Unix(1, 0)) }

// LocalAddr implements net.PacketConn.
func (s *relaySocket) LocalAddr() net.Addr { return relayAddr{node: s.link.self} }
