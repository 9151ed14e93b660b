package link_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/wire"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"
)

func TestRequestRate(t *testing.T) {
	o := newOverlay(t, "lan.example")
	slow := func(c *link.Config) { c.Limits.RequestRate, c.Limits.RequestBurst = rate.Every(time.Hour), 3 }
	b := o.start("b", slow)
	key := newKey(t)
	chain := o.chain(o.params("a", key))
	a := o.startWith(key, chain)
	for range 3 {
		if err := ping(t, a, b); err != nil {
			t.Fatal(err)
		}
	}
	var refused *link.RemoteError
	if err := ping(t, a, b); !errors.As(err, &refused) || refused.Code != wire.CodeTooMany || refused.Retry == 0 {
		t.Error(err)
	}
	// A new connection does not fill the bucket.
	a.shut(t)
	again := o.startWith(key, chain)
	if err := ping(t, again, b); !errors.As(err, &refused) || refused.Code != wire.CodeTooMany {
		t.Error(err)
	}
	if err := ping(t, o.start("c"), b); err != nil {
		t.Error("another node:", err)
	}
	if b.refused.of(link.ReasonRequestRate) != 2 || b.served() != 4 {
		t.Error(b.refused.all(), b.served())
	}
}

// Who asks too often can still renew, a few times.
func TestRenewalsHaveARateOfTheirOwn(t *testing.T) {
	o := newOverlay(t, "lan.example")
	b := o.start("b", func(c *link.Config) { c.Limits.RequestRate, c.Limits.RequestBurst = rate.Every(time.Hour), 1 })
	a := o.start("a")
	if err := ping(t, a, b); err != nil {
		t.Fatal(err)
	}
	c := must(a.Connect(testCtx(t), b.peer()))(t)
	served := 0
	for range 30 {
		_, err := c.Call(testCtx(t), &wire.Renew{Signed: []byte{0xd2}})
		refused, ok := errors.AsType[*link.RemoteError](err)
		switch {
		case err != nil && !ok:
			t.Fatal(err)
		case err == nil || refused.Code != wire.CodeTooMany: // what it is answered is not the link's matter
			served++
		}
	}
	if served < 8 || served > 20 { // 8, and one more every two seconds
		t.Errorf("%d of 30 renewals were served", served)
	}
	var refused *link.RemoteError
	if err := ping(t, a, b); !errors.As(err, &refused) || refused.Code != wire.CodeTooMany {
		t.Error("a Ping beyond the rate:", err)
	}
}

// More requests at once than there are streams wait their turn.
func TestManyAtOnce(t *testing.T) {
	o := newOverlay(t, "lan.example")
	a, b := o.start("a"), o.start("b")
	c := must(a.Connect(testCtx(t), b.peer()))(t)
	var g errgroup.Group
	for range 90 {
		g.Go(func() error {
			_, err := c.Call(testCtx(t), &wire.Ping{})
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}

// Sixty-four nodes of one host that all begin at once stay within the default
// limits, but for the time: this machine may have other work.
func TestWholeHostAtOnce(t *testing.T) {
	o := newOverlay(t, "lan.example")
	patient := func(c *link.Config) { c.Limits.Handshake, c.Limits.Dial = patience, patience }
	first := o.start("first", patient)
	nodes := make([]*node, 63)
	for i := range nodes {
		nodes[i] = o.start(fmt.Sprint(i), patient)
	}
	var g errgroup.Group
	for _, n := range nodes {
		g.Go(func() error { return ping(t, n, first) })
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	if n := len(first.Peers()); n != 63 {
		t.Errorf("%d connections", n)
	}
	t.Log(first.refused.all())
}

func TestRequestsFull(t *testing.T) {
	o := newOverlay(t, "lan.example")
	a, b := o.start("a"), o.start("b", func(c *link.Config) { c.Limits.Requests = 1 })
	entered, release := make(chan struct{}), make(chan struct{})
	b.onServe(func(context.Context, *link.Conn, wire.Message) wire.Message {
		close(entered)
		<-release
		return &wire.Pong{Time: 1}
	})
	first := make(chan error, 1)
	go func() { first <- ping(t, a, b) }()
	<-entered
	var refused *link.RemoteError
	if err := ping(t, a, b); !errors.As(err, &refused) || refused.Code != wire.CodeUnavailable || refused.Retry == 0 {
		t.Error(err)
	}
	close(release)
	if err := <-first; err != nil {
		t.Error(err)
	}
	if b.refused.of(link.ReasonBusy) != 1 {
		t.Error(b.refused.all())
	}
}

// Requests that are not as they should be, over a connection that is.
func TestBadRequests(t *testing.T) {
	o := newOverlay(t, "lan.example")
	b := o.start("b")
	key := newKey(t)
	c := must(rawDial(testCtx(t), b.Addr(), liar{key: key, chain: o.chain(o.params("a", key))}.certificate(), "secp2psip/1"))(t)
	defer c.Close()
	for _, tc := range []struct {
		name   string
		bytes  []byte
		code   wire.Code
		reason string
	}{
		{"empty", []byte{'Q'}, wire.CodeMalformed, link.ReasonMalformed},
		{"garbage", []byte("Qgarbage"), wire.CodeMalformed, link.ReasonMalformed},
		{"of an unknown type", []byte{'Q', 0x82, 0x18, 0xff, 0x80}, wire.CodeUnsupported, link.ReasonUnserved},
		{"that nobody serves", request(&wire.Ack{}), wire.CodeUnsupported, link.ReasonUnserved},
		{"with something behind", append(request(&wire.Ping{}), 0), wire.CodeMalformed, link.ReasonMalformed},
		{"too large", append([]byte{'Q'}, make([]byte, wire.MaxMessage+1)...), wire.CodeMalformed, link.ReasonOversized},
	} {
		before := b.refused.of(tc.reason)
		answer, err := rawRequest(testCtx(t), c, tc.bytes)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		m, err := wire.Decode(answer)
		if e, ok := m.(*wire.Error); !ok || e.Code != tc.code {
			t.Errorf("%s: %v, %v", tc.name, m, err)
		}
		if b.refused.of(tc.reason) != before+1 {
			t.Errorf("%s: %v", tc.name, b.refused.all())
		}
	}
	if answer, err := rawRequest(testCtx(t), c, request(&wire.Ping{})); err != nil || !bytes.Equal(answer, []byte{0x82, 4, 0x81, 1}) {
		t.Error("the connection has suffered:", answer, err)
	}
}

// Whoever sends a request byte by byte, or never ends it, is cut off.
func TestSlowRequest(t *testing.T) {
	o := newOverlay(t, "lan.example")
	b := o.start("b", func(c *link.Config) { c.Limits.RequestTime = 100 * time.Millisecond })
	key := newKey(t)
	c := must(rawDial(testCtx(t), b.Addr(), liar{key: key, chain: o.chain(o.params("a", key))}.certificate(), "secp2psip/1"))(t)
	defer c.Close()
	for _, start := range []string{"Q", "Q\x82", "L", "L\x00\x00"} {
		s := must(c.OpenStreamSync(testCtx(t)))(t)
		must(s.Write([]byte(start)))(t)
	}
	eventually(t, "all are counted", func() bool { return b.refused.of(link.ReasonSlow) == 4 })
	eventually(t, "nothing is left of them", func() bool { return b.Peers()[0].Busy == 0 })
}

// A handler learns that its time is up, and that the caller has given up.
func TestRequestContext(t *testing.T) {
	o := newOverlay(t, "lan.example")
	a, b := o.start("a"), o.start("b")
	entered, ended := make(chan struct{}), make(chan struct{})
	b.onServe(func(ctx context.Context, _ *link.Conn, _ wire.Message) wire.Message {
		if _, ok := ctx.Deadline(); !ok {
			t.Error("no deadline")
		}
		close(entered)
		<-ctx.Done()
		close(ended)
		return nil
	})
	ctx, cancel := context.WithCancel(testCtx(t))
	go func() { <-entered; cancel() }()
	if _, err := a.Call(ctx, b.peer(), &wire.Ping{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	select {
	case <-ended:
	case <-time.After(patience):
		t.Error("the handler does not learn")
	}
	if err := ping(t, b, a); err != nil {
		t.Error("the connection has suffered:", err)
	}
}

func TestCallTimeout(t *testing.T) {
	o := newOverlay(t, "lan.example")
	a, b := o.start("a", func(c *link.Config) { c.Limits.RequestTime = 50 * time.Millisecond }), o.start("b")
	b.onServe(func(ctx context.Context, _ *link.Conn, _ wire.Message) wire.Message {
		<-ctx.Done()
		return nil
	})
	if _, err := a.Call(context.Background(), b.peer(), &wire.Ping{}); !errors.Is(err, link.ErrTimeout) {
		t.Error(err)
	}
}

// The least recently used connection makes room; one in use does not.
func TestPoolBound(t *testing.T) {
	o := newOverlay(t, "lan.example")
	a := o.start("a", func(c *link.Config) { c.Limits.Conns = 2 })
	b, c, d := o.start("b"), o.start("c"), o.start("d")
	b.onStream(echo)
	ctx := testCtx(t)
	s := must(must(a.Connect(ctx, b.peer()))(t).Open(ctx, &wire.Carry{}))(t)
	defer s.Close()
	for range 3 {
		for _, n := range []*node{c, d} {
			if err := ping(t, a, n); err != nil {
				t.Fatal(err)
			}
			if got := len(a.Peers()); got > 2 {
				t.Fatalf("%d connections", got)
			}
		}
	}
	must(s.Recv(ctx))(t)
	if err := s.Send(ctx, []byte("still here")); err != nil {
		t.Fatal(err)
	}
	if got := must(s.Recv(ctx))(t); string(got) != "still here" {
		t.Errorf("%q", got)
	}
	d.onStream(echo)
	s2 := must(must(a.Connect(ctx, d.peer()))(t).Open(ctx, &wire.Carry{}))(t)
	defer s2.Close()
	must(s2.Recv(ctx))(t)
	if err := ping(t, a, c); !errors.Is(err, link.ErrUnreachable) || a.refused.of(link.ReasonConnsFull) == 0 {
		t.Error("with every connection in use:", err, a.refused.all())
	}
}

// One node cannot take more than its share of connections.
func TestConnsPerPeer(t *testing.T) {
	o := newOverlay(t, "lan.example")
	b := o.start("b", func(c *link.Config) { c.Limits.ConnsPerPeer = 2 })
	key := newKey(t)
	cert := liar{key: key, chain: o.chain(o.params("a", key))}.certificate()
	conns := make([]*rawConn, 5)
	for i := range conns {
		conns[i] = must(rawDial(testCtx(t), b.Addr(), cert, "secp2psip/1"))(t)
		defer conns[i].Close()
		must(rawRequest(testCtx(t), conns[i], request(&wire.Ping{})))(t)
	}
	for i, c := range conns[:3] {
		select {
		case <-c.Context().Done():
		case <-time.After(patience):
			t.Errorf("connection %d is still there", i)
		}
	}
	if got := len(b.Peers()); got != 2 {
		t.Errorf("%d connections", got)
	}
}

func TestDrop(t *testing.T) {
	o := newOverlay(t, "lan.example")
	a, b := o.start("a"), o.start("b")
	c := must(a.Connect(testCtx(t), b.peer()))(t)
	if n := a.Drop(func(c *link.Conn) bool { return c.ID() == b.Link.ID() }); n != 1 {
		t.Error(n)
	}
	<-c.Done()
	if err := ping(t, a, b); err != nil {
		t.Error("after it was dropped:", err)
	}
}

// deaf sends and never hears: handshakes that it begins do not end.
type deaf struct{ *net.UDPConn }

func (d deaf) ReadMsgUDP(b, oob []byte) (n, oobn, flags int, addr *net.UDPAddr, err error) {
	for {
		if _, _, _, _, err := d.UDPConn.ReadMsgUDP(b, oob); err != nil {
			return 0, 0, 0, nil, err
		}
	}
}

func (d deaf) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		if _, _, err := d.UDPConn.ReadFrom(b); err != nil {
			return 0, nil, err
		}
	}
}

// flood begins n handshakes from one address that never end, until ctx ends.
func flood(ctx context.Context, t *testing.T, from netip.Addr, to netip.AddrPort, n int) {
	t.Helper()
	sock := must(net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0))))(t)
	tr := &quic.Transport{Conn: mute{deaf{sock}}}
	var work sync.WaitGroup
	for range n {
		work.Go(func() {
			_, _ = tr.Dial(ctx, net.UDPAddrFromAddrPort(to), rawTLS(tls.Certificate{}, "secp2psip/1"), &quic.Config{HandshakeIdleTimeout: patience})
		})
	}
	t.Cleanup(func() {
		work.Wait()
		_ = tr.Close()
		_ = sock.Close()
	})
}

// mute hides from quic-go that it could read in batches past deaf.
type mute struct{ net.PacketConn }

func (mute) SetReadBuffer(int) error { return nil }

func (mute) SetWriteBuffer(int) error { return nil }

// H4: handshakes that strangers begin and never end take a bounded number of
// places, of one address only few, and no place for longer than the limit.
func TestMatrixH4HandshakeFlood(t *testing.T) {
	o := newOverlay(t, "lan.example")
	victim := o.start("victim", func(c *link.Config) {
		c.Limits.Handshakes, c.Limits.HandshakesPerLoopback, c.Limits.Handshake = 8, 4, 400*time.Millisecond
		c.Limits.Unproven = 64 // as if all were proven
	})
	honest := o.start("honest")
	ctx, cancel := context.WithCancel(testCtx(t))
	defer cancel()
	flood(ctx, t, netip.MustParseAddr("127.0.0.66"), victim.Addr(), 20)
	eventually(t, "the address has all it may have", func() bool { return victim.refused.of(link.ReasonHandshakesAddr) > 0 })
	if err := ping(t, honest, victim); err != nil {
		t.Error("while one address floods:", err)
	}
	flood(ctx, t, netip.MustParseAddr("127.0.0.67"), victim.Addr(), 20)
	eventually(t, "every place is taken", func() bool { return victim.refused.of(link.ReasonHandshakes) > 0 })
	cancel()
	eventually(t, "the places are free again", func() bool {
		late := o.start("late")
		defer late.shut(t)
		return ping(t, late, victim) == nil
	})
	if victim.refused.of(link.ReasonHandshake) == 0 {
		t.Error("the flood's handshakes have not failed")
	}
	t.Logf("matrix: H4 handshakes begun and never ended: 40, places: 8, honest nodes in meanwhile and after; %v", victim.refused.all())
}

// H4: of all places, those who have not proven their addresses have a part. Slow
// enough to be believed, a flood from invented addresses takes those, and there is
// a place for everybody else.
func TestMatrixH4UnprovenPlaces(t *testing.T) {
	o := newOverlay(t, "lan.example")
	victim := o.start("victim", func(c *link.Config) {
		c.Limits.Handshakes, c.Limits.Unproven, c.Limits.Unvalidated = 8, 4, 10_000
	})
	ctx, cancel := context.WithCancel(testCtx(t))
	defer cancel()
	for i := range byte(8) {
		flood(ctx, t, netip.AddrFrom4([4]byte{127, 0, 2, i + 1}), victim.Addr(), 2)
	}
	eventually(t, "the flood has its places", func() bool {
		return victim.refused.of(link.ReasonRetry)+victim.refused.of(link.ReasonHandshakes) > 0
	})
	in := 0
	for _, name := range []string{"a", "b", "c"} {
		if err := ping(t, o.start(name), victim); err != nil {
			t.Error(err)
			continue
		}
		in++
	}
	if n := victim.refused.of(link.ReasonHandshakes); n != 0 {
		t.Errorf("%d refused for want of a place", n)
	}
	t.Logf("matrix: H4 handshakes from invented addresses, slow enough to be believed: 16 for 8 places, of which they have 4; honest nodes in: %d of 3", in)
}

// H4: above the rate of unvalidated handshakes every address must show that it
// hears the answers. A flood that does not is answered without any state, and
// honest nodes get in beside it.
func TestMatrixH4Retry(t *testing.T) {
	o := newOverlay(t, "lan.example")
	victim := o.start("victim", func(c *link.Config) {
		c.Limits.Unvalidated, c.Limits.Handshakes, c.Limits.HandshakesPerLoopback = 1, 4, 2
	})
	ctx, cancel := context.WithCancel(testCtx(t))
	defer cancel()
	for i := range byte(5) {
		flood(ctx, t, netip.AddrFrom4([4]byte{127, 0, 1, i + 1}), victim.Addr(), 20)
	}
	eventually(t, "the flood arrives", func() bool { return victim.refused.of(link.ReasonRetry) >= 50 })
	for _, name := range []string{"a", "b", "c"} {
		if err := ping(t, o.start(name), victim); err != nil {
			t.Error(err)
		}
	}
	// A hundred handshakes that nobody ends, and still there is a place for everybody.
	if n := victim.refused.of(link.ReasonHandshakes); n != 0 {
		t.Errorf("%d refused for want of a place", n)
	}
	t.Logf("matrix: H4 handshakes from addresses that hear nothing: 100, answered by Retry: %d, state kept: 0, honest nodes in: 3 of 3", victim.refused.of(link.ReasonRetry))
}
