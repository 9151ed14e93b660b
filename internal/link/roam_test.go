package link_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/wire"
)

func everywhere(netip.Addr) bool { return true }
func nowhere(netip.Addr) bool    { return false }

// hopper is a host that moves: what it sends leaves by one of two sockets, and
// what comes to the other one is lost.
type hopper struct {
	*net.UDPConn
	other *net.UDPConn
	moved atomic.Bool
}

func (h *hopper) at() *net.UDPConn {
	if h.moved.Load() {
		return h.other
	}
	return h.UDPConn
}

func (h *hopper) WriteTo(b []byte, to net.Addr) (int, error) { return h.at().WriteTo(b, to) }

func (h *hopper) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		at := h.at()
		n, from, err := at.ReadFrom(b)
		if at == h.at() || err == nil {
			return n, from, err
		}
	}
}

func (h *hopper) move() {
	h.moved.Store(true)
	_ = h.UDPConn.SetReadDeadline(time.Unix(1, 0))
}

func (h *hopper) SetReadDeadline(t time.Time) error {
	return errors.Join(h.UDPConn.SetReadDeadline(t), h.other.SetReadDeadline(t))
}

func (h *hopper) Close() error { return errors.Join(h.UDPConn.Close(), h.other.Close()) }

// hopping hides from quic-go that there is a real socket.
type hopping struct{ net.PacketConn }

func (hopping) SetReadBuffer(int) error  { return nil }
func (hopping) SetWriteBuffer(int) error { return nil }

// A connection that this side has dialled goes on from another address, and the
// other side follows there.
func TestADialledConnectionMigrates(t *testing.T) {
	udp := func() *net.UDPConn { return must(net.ListenUDP("udp4", net.UDPAddrFromAddrPort(loopback)))(t) }
	h := &hopper{UDPConn: udp(), other: udp()}
	o := newOverlay(t, "lan.example")
	a := o.start("a", func(c *link.Config) {
		c.Socket = func(netip.AddrPort) (net.PacketConn, error) { return hopping{h}, nil }
	})
	b := o.start("b")
	conn := must(a.Connect(testCtx(t), b.peer()))(t)
	must(conn.Call(testCtx(t), &wire.Ping{}))(t)
	var there, back inbox
	b.HandleDatagrams(link.DatagramMedia, func(from *link.Conn, p []byte) {
		there.take(from, p)
		_ = from.SendDatagram(p)
	})
	a.HandleDatagrams(link.DatagramMedia, back.take)
	h.move()
	a.Migrate(testCtx(t), everywhere)
	for range 2 { // the second time the other side sees nothing new
		must(conn.Call(testCtx(t), &wire.Ping{}))(t)
		had := len(back.all()) // before it is sent: it may be back at once
		if err := conn.SendDatagram(numbered(link.DatagramMedia, 1, 172)); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the datagram comes back", func() bool { return len(back.all()) > had })
		a.Migrate(testCtx(t), everywhere)
	}
	at := h.other.LocalAddr().(*net.UDPAddr).AddrPort()
	if got := b.Peers(); len(got) != 1 || got[0].Addr != at {
		t.Errorf("the other side has %+v, not one connection from %v", got, at)
	}
}

// One that others have dialled to an address that is gone is given up, one to
// an address that is still there is not.
func TestAConnectionToALostAddressEnds(t *testing.T) {
	_, b, conn := connected(t, newOverlay(t, "lan.example"))
	b.Migrate(testCtx(t), everywhere)
	if _, err := conn.Call(testCtx(t), &wire.Ping{}); err != nil {
		t.Fatal(err)
	}
	b.Migrate(testCtx(t), nowhere)
	select {
	case <-conn.Done():
	case <-time.After(patience):
		t.Fatal("the connection stays")
	}
}

// gagged lets nothing out while it is shut.
type gagged struct {
	*net.UDPConn
	shut *atomic.Bool
}

func (g gagged) WriteTo(b []byte, to net.Addr) (int, error) {
	if g.shut.Load() {
		return len(b), nil
	}
	return g.UDPConn.WriteTo(b, to)
}

func (g gagged) WriteMsgUDP(b, oob []byte, to *net.UDPAddr) (int, int, error) {
	if g.shut.Load() {
		return len(b), len(oob), nil
	}
	return g.UDPConn.WriteMsgUDP(b, oob, to)
}

// A side that says nothing any more is noticed, and the way to it replaced.
func TestASilentConnectionIsNoticedAndReplaced(t *testing.T) {
	var shut atomic.Bool
	o := newOverlay(t, "lan.example")
	a := o.start("a")
	b := o.start("b", func(c *link.Config) {
		c.Socket = func(at netip.AddrPort) (net.PacketConn, error) {
			sock, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at))
			return gagged{sock, &shut}, err
		}
	})
	conn := must(a.Connect(testCtx(t), b.peer()))(t)
	if !conn.Pulse(testCtx(t), time.Nanosecond) && !conn.Pulse(testCtx(t), 5*time.Second) {
		t.Error("a living side is taken for dead")
	}
	shut.Store(true)
	eventually(t, "the silence is noticed", func() bool { return !conn.Pulse(testCtx(t), 100*time.Millisecond) })
	shut.Store(false)
	next := must(a.Replace(testCtx(t), conn, b.peer(), nil))(t)
	if next == conn || !next.Pulse(testCtx(t), 5*time.Second) {
		t.Error("it is not replaced")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if !conn.Pulse(ctx, time.Second) {
		t.Error("who gives up learns of a death that nobody has seen")
	}
}

func TestKnockFindsWhoAnswers(t *testing.T) {
	o := newOverlay(t, "lan.example")
	a, b := o.start("a"), o.start("b")
	deaf := must(net.ListenUDP("udp4", net.UDPAddrFromAddrPort(loopback)))(t)
	defer deaf.Close()
	silent := deaf.LocalAddr().(*net.UDPAddr).AddrPort()
	got := must(a.Knock(testCtx(t), []netip.AddrPort{silent, b.Addr()}, 3))(t)
	if got != b.Addr() {
		t.Errorf("%v answers", got)
	}
	const times = 3
	if _, err := a.Knock(testCtx(t), []netip.AddrPort{silent}, times); !errors.Is(err, link.ErrTimeout) {
		t.Errorf("nobody answers: %v", err)
	}
	_ = deaf.SetReadDeadline(time.Now().Add(patience))
	buf, seen := make([]byte, 1500), 0
	for range times {
		n, _, err := deaf.ReadFromUDPAddrPort(buf)
		if err != nil || n != link.KnockBytes {
			t.Fatalf("a knock of %d bytes, %v", n, err)
		}
		seen += n
	}
	_ = deaf.SetReadDeadline(time.Unix(1, 0))
	if n, _, err := deaf.ReadFromUDPAddrPort(buf); err == nil && n > link.KnockBytes {
		t.Errorf("%d bytes to an address that has not answered", n)
	}
	conn := must(a.ConnectDirect(testCtx(t), wire.Peer{ID: b.ID(), Addrs: []netip.AddrPort{got}}))(t)
	if conn.Relayed() || a.Direct(b.ID()) != conn {
		t.Error("no direct connection")
	}
	if _, err := a.ConnectDirect(testCtx(t), wire.Peer{ID: identity.HashID("c"), Addrs: []netip.AddrPort{got}}); !errors.Is(err, link.ErrWrongNode) {
		t.Errorf("another node: %v", err)
	}
}

// What one side abandons is no end for the other, as what it closes is.
func TestAnAbandonedStreamIsNotClosed(t *testing.T) {
	_, b, conn := connected(t, newOverlay(t, "lan.example"))
	b.onStream(func(_ context.Context, _ *link.Conn, _ wire.Message, s *link.Stream) { s.Abandon() })
	s := must(conn.Open(testCtx(t), &wire.Carry{}))(t)
	defer s.Close()
	_, err := s.Recv(testCtx(t))
	if remote, ok := errors.AsType[*link.RemoteError](err); !ok || remote.Code != wire.CodeGone {
		t.Errorf("Recv: %v", err)
	}
	b.onStream(func(ctx context.Context, _ *link.Conn, _ wire.Message, s *link.Stream) { _, _ = s.Recv(ctx) })
	s = must(conn.Open(testCtx(t), &wire.Carry{}))(t)
	defer s.Close()
	go b.stop()
	if _, err := s.Recv(testCtx(t)); !errors.Is(err, link.ErrLeft) {
		t.Errorf("Recv from a node that shuts down: %v", err)
	}
}
