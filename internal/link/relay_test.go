package link_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// deafSocket takes nothing from those that it has not sent to.
type deafSocket struct {
	net.PacketConn
	mu   sync.Mutex
	sent map[string]bool
}

func (s *deafSocket) WriteTo(b []byte, to net.Addr) (int, error) {
	s.mu.Lock()
	s.sent[to.String()] = true
	s.mu.Unlock()
	return s.PacketConn.WriteTo(b, to)
}

func (s *deafSocket) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := s.PacketConn.ReadFrom(b)
		if err != nil {
			return n, from, err
		}
		s.mu.Lock()
		in := s.sent[from.String()]
		s.mu.Unlock()
		if in {
			return n, from, nil
		}
	}
}

// unreachable puts a node behind a translator that lets nobody in.
func unreachable(c *link.Config) {
	c.Socket = func(at netip.AddrPort) (net.PacketConn, error) {
		sock, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at))
		return &deafSocket{PacketConn: sock, sent: map[string]bool{}}, err
	}
}

// passes makes a node pass packets on to the nodes of these names.
func passes(names ...string) func(*link.Config) {
	return func(c *link.Config) {
		c.PassOn = func(id identity.NodeID) bool {
			for _, name := range names {
				if identity.HashID(name) == id {
					return true
				}
			}
			return false
		}
	}
}

// attach connects a client to its peers and has it take packets from them.
func attach(t testing.TB, client *node, peers ...*node) {
	t.Helper()
	var ids []identity.NodeID
	for _, p := range peers {
		if err := ping(t, client, p); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, p.Link.ID())
	}
	client.AttachedTo(ids)
}

func peersOf(nodes ...*node) (out []wire.Peer) {
	for _, n := range nodes {
		out = append(out, n.peer())
	}
	return out
}

// Two clients behind different translators reach each other through a peer, end
// to end: both ends see each other's certificates and share an exporter that the
// peer does not have. Requests, long streams and datagrams work as on any link.
func TestRelay(t *testing.T) {
	o := newOverlay(t, "lan.example")
	p, q := o.start("p", passes("callee")), o.start("q", passes("caller"))
	caller, callee := o.start("caller", unreachable), o.start("callee", unreachable)
	attach(t, callee, p)
	attach(t, caller, q)
	began := time.Now()
	c := must(caller.ConnectVia(testCtx(t), callee.peer(), peersOf(p)))(t)
	t.Logf("reached through a peer after %v, inner datagrams of %d bytes", time.Since(began), c.MaxDatagram())
	if !c.Relayed() || c.Via() != p.Link.ID() || c.ID() != callee.Link.ID() || c.RemoteAddr().IsValid() || !c.LocalAddr().IsValid() {
		t.Fatalf("%v via %v at %v from %v", c.ID(), c.Via(), c.RemoteAddr(), c.LocalAddr())
	}
	theirs := make(chan [32]byte, 20)
	callee.onServe(func(_ context.Context, from *link.Conn, _ wire.Message) wire.Message {
		theirs <- must(from.Exporter())(t)
		return &wire.Pong{Time: 1}
	})
	for range 20 {
		if _, err := c.Call(testCtx(t), &wire.Ping{}); err != nil {
			t.Fatal(err)
		}
	}
	if mine := must(c.Exporter())(t); mine != <-theirs {
		t.Error("the ends have different exporters")
	}
	var got inbox
	callee.HandleDatagrams(link.DatagramMedia, got.take)
	for i := range 50 {
		if err := c.SendDatagram(numbered(link.DatagramMedia, i, 200)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "datagrams arrive", func() bool { return len(got.all()) == 50 })
	if n := len(caller.Peers()); n != 3 {
		t.Errorf("the caller has %d links, not to q, p and the callee", n)
	}
}

// A direct way is taken where there is one, at once.
func TestRelayIsSecondChoice(t *testing.T) {
	o := newOverlay(t, "lan.example")
	p := o.start("p", passes("callee"))
	caller, callee := o.start("caller"), o.start("callee")
	attach(t, callee, p)
	c := must(caller.ConnectVia(testCtx(t), callee.peer(), peersOf(p)))(t)
	if c.Relayed() {
		t.Error("a peer passes on what could go directly")
	}
}

// The peers of a callee may be dead or drop everything: the caller goes to the
// next one within the head start, and remembers which one worked.
func TestRelayGoesToTheNextPeer(t *testing.T) {
	o := newOverlay(t, "lan.example")
	dead := o.start("dead")
	drops := o.start("drops", passes("callee"))
	drops.HandleDatagrams(link.DatagramSealed, nil) // takes packets and passes nothing on
	good := o.start("good", passes("callee"))
	caller, callee := o.start("caller", unreachable), o.start("callee", unreachable)
	attach(t, callee, drops, good)
	dead.shut(t)
	began := time.Now()
	c := must(caller.ConnectVia(testCtx(t), callee.peer(), peersOf(dead, drops, good)))(t)
	took := time.Since(began)
	if c.Via() != good.Link.ID() || took > 3*time.Second {
		t.Fatalf("through %v after %v", c.Via().Short(), took)
	}
	if drops.refused.of(link.ReasonDatagramKind) == 0 {
		t.Error("the peer that drops everything was not asked")
	}
	caller.Drop(func(c *link.Conn) bool { return c.Relayed() })
	eventually(t, "the connection ends", func() bool {
		for _, p := range caller.Peers() {
			if p.ID == callee.Link.ID() {
				return false
			}
		}
		return true
	})
	began = time.Now()
	c = must(caller.ConnectVia(testCtx(t), callee.peer(), peersOf(dead, drops, good)))(t)
	t.Logf("first %v, again %v", took, time.Since(began))
	if c.Via() != good.Link.ID() {
		t.Error("it was not remembered which peer works")
	}
}

// Packets are passed on for clients only, to them only from who has called, and
// only those that have a peer's head; everything else is dropped and counted.
func TestRelayRefuses(t *testing.T) {
	o := newOverlay(t, "lan.example")
	p := o.start("p", passes("callee"), func(c *link.Config) { c.Limits.FlowBytes, c.Limits.FlowsPerClient = 8000, 2 })
	callee, stranger := o.start("callee"), o.start("stranger")
	attach(t, callee, p)
	s := must(stranger.Connect(testCtx(t), p.peer()))(t)
	back := must(callee.Connect(testCtx(t), p.peer()))(t)
	sealed := func(direction byte, to identity.NodeID, n int) []byte {
		b := append([]byte{link.DatagramSealed, direction}, to[:]...)
		return append(b, make([]byte, n)...)
	}
	counts := func(reason string, at *node, send func()) {
		t.Helper()
		before := at.refused.of(reason)
		send()
		eventually(t, reason, func() bool { return at.refused.of(reason) > before })
	}
	via := func(c *link.Conn, b []byte) func() {
		return func() {
			if err := c.SendDatagram(b); err != nil {
				t.Error(err)
			}
		}
	}
	counts(link.ReasonSealedStranger, p, via(s, sealed(0, identity.HashID("nobody"), 100)))
	counts(link.ReasonSealedFlow, p, via(back, sealed(0, stranger.Link.ID(), 100)))
	counts(link.ReasonSealedBad, p, via(s, sealed(7, callee.Link.ID(), 100)))
	counts(link.ReasonSealedBad, p, via(s, sealed(0, callee.Link.ID(), 0)))
	counts(link.ReasonSealedBad, p, via(s, sealed(0, callee.Link.ID(), 1201)))
	counts(link.ReasonSealedPeer, stranger, func() { // the callee claims to be a peer of the stranger
		direct := must(callee.Connect(testCtx(t), stranger.peer()))(t)
		via(direct, sealed(1, p.Link.ID(), 100))()
	})
	counts(link.ReasonSealedRate, p, func() {
		for range 20 {
			via(s, sealed(0, callee.Link.ID(), 1000))()
		}
	})
	counts(link.ReasonSealedFlows, p, func() {
		for _, name := range []string{"b", "c", "d"} {
			n := o.start(name)
			via(must(n.Connect(testCtx(t), p.peer()))(t), sealed(0, callee.Link.ID(), 100))()
		}
	})
	callee.shut(t)
	eventually(t, "nobody is there", func() bool {
		via(s, sealed(0, callee.Link.ID(), 100))()
		return p.refused.of(link.ReasonSealedGone) > 0
	})
}

// A peer through which calls go and that begins to drop everything is noticed
// within seconds, and the next call goes through another.
func TestRelayThatStopsIsLeft(t *testing.T) {
	o := newOverlay(t, "lan.example")
	p, q := o.start("p", passes("callee")), o.start("q", passes("callee"))
	caller, callee := o.start("caller", unreachable), o.start("callee", unreachable)
	attach(t, callee, p, q)
	c := must(caller.ConnectVia(testCtx(t), callee.peer(), peersOf(p)))(t)
	p.HandleDatagrams(link.DatagramSealed, nil)
	ctx, cancel := context.WithTimeout(testCtx(t), 2500*time.Millisecond)
	defer cancel()
	if _, err := c.Call(ctx, &wire.Ping{}); !errors.Is(err, link.ErrTimeout) {
		t.Fatal(err)
	}
	began := time.Now()
	c = must(caller.ConnectVia(testCtx(t), callee.peer(), peersOf(p, q)))(t)
	if _, err := c.Call(testCtx(t), &wire.Ping{}); err != nil || c.Via() != q.Link.ID() {
		t.Fatalf("through %v: %v", c.Via().Short(), err)
	}
	t.Logf("through another peer %v after the call that failed", time.Since(began))
}
