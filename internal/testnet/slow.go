package testnet

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Slow is a long way to everybody else: what a node sends arrives that much
// later, in order, and not all of it.
type Slow struct{ delay, lose, long atomic.Int64 }

// Set makes packets that are sent from now on take d.
func (s *Slow) Set(d time.Duration) { s.delay.Store(int64(d)) }

// Lose makes every n-th packet of those get lost that are as long as media are;
// 0 is none.
func (s *Slow) Lose(n int) { s.lose.Store(int64(n)) }

// loses tells whether a packet gets lost.
func (s *Slow) loses(b []byte) bool {
	n := s.lose.Load()
	return n > 0 && len(b) > 150 && s.long.Add(1)%n == 0
}

// Socket opens a socket at the end of the way, as link.Config has it.
func (s *Slow) Socket(at netip.AddrPort) (net.PacketConn, error) {
	sock, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		return nil, err
	}
	f := &far{PacketConn: sock, way: s, sent: make(chan onTheWay, 4096), closed: make(chan struct{})}
	go f.carry()
	return f, nil
}

// onTheWay is a packet until it leaves the socket.
type onTheWay struct {
	due time.Time
	b   []byte
	to  net.Addr
}

type far struct {
	net.PacketConn
	way    *Slow
	sent   chan onTheWay
	once   sync.Once
	closed chan struct{}
}

// carry sends what is due, until the socket is closed.
func (f *far) carry() {
	for {
		select {
		case p := <-f.sent:
			select {
			case <-time.After(time.Until(p.due)):
			case <-f.closed:
				return
			}
			_, _ = f.PacketConn.WriteTo(p.b, p.to)
		case <-f.closed:
			return
		}
	}
}

// WriteTo implements net.PacketConn. What finds no room is lost, as on any path.
func (f *far) WriteTo(b []byte, to net.Addr) (int, error) {
	if f.way.loses(b) {
		return len(b), nil
	}
	d := time.Duration(f.way.delay.Load())
	if d == 0 {
		return f.PacketConn.WriteTo(b, to)
	}
	select {
	case f.sent <- onTheWay{time.Now().Add(d), append([]byte(nil), b...), to}:
	default:
	}
	return len(b), nil
}

// Close implements net.PacketConn.
func (f *far) Close() error {
	f.once.Do(func() { close(f.closed) })
	return f.PacketConn.Close()
}

// SetReadBuffer and SetWriteBuffer are there because quic-go asks for them.
func (f *far) SetReadBuffer(int) error { return nil }

// SetWriteBuffer does nothing.
func (f *far) SetWriteBuffer(int) error { return nil }
