package link_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// Both ends export the same secret, and no other connection does.
func TestExporter(t *testing.T) {
	o := newOverlay(t, "lan.example")
	a, b, c := o.start("a"), o.start("b"), o.start("c")
	seen := make(chan [32]byte, 1)
	b.onServe(func(_ context.Context, from *link.Conn, _ wire.Message) wire.Message {
		x, err := from.Exporter()
		if err != nil {
			t.Error(err)
		}
		seen <- x
		return &wire.Pong{Time: 1}
	})
	exported := func(from *node) [32]byte {
		conn := must(from.Connect(testCtx(t), b.peer()))(t)
		must(conn.Call(testCtx(t), &wire.Ping{}))(t)
		x := must(conn.Exporter())(t)
		if x != <-seen || x == [32]byte{} {
			t.Error("the two ends export other secrets")
		}
		return x
	}
	if exported(a) == exported(c) {
		t.Error("two connections export the same secret")
	}
}

func TestLocalAddr(t *testing.T) {
	o := newOverlay(t, "lan.example")
	everywhere := o.start("a", func(c *link.Config) { c.Listen = netip.AddrPort{} })
	b := o.start("b")
	if a := everywhere.Addr(); !a.Addr().IsUnspecified() || a.Port() == 0 {
		t.Fatal(a)
	}
	want := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), everywhere.Addr().Port())
	out := must(everywhere.Connect(testCtx(t), b.peer()))(t)
	if out.LocalAddr() != want || out.RemoteAddr() != b.Addr() {
		t.Error(out.LocalAddr(), out.RemoteAddr())
	}
	// The other way, over a connection that came in.
	c := o.start("c")
	must(c.Call(testCtx(t), wire.Peer{ID: everywhere.Link.ID(), Addrs: []netip.AddrPort{want}}, &wire.Ping{}))(t)
	in := must(everywhere.Connect(testCtx(t), wire.Peer{ID: c.Link.ID()}))(t)
	if !in.Inbound() || in.LocalAddr() != want || in.RemoteAddr() != c.Addr() {
		t.Error(in.LocalAddr(), in.RemoteAddr())
	}
	if everywhere.Addr().Addr().Is6() { // the host has IPv6: the same port serves both families
		six := netip.AddrPortFrom(netip.IPv6Loopback(), everywhere.Addr().Port())
		d := o.start("d", func(c *link.Config) { c.Listen = netip.AddrPort{} })
		conn := must(d.Connect(testCtx(t), wire.Peer{ID: everywhere.Link.ID(), Addrs: []netip.AddrPort{six}}))(t)
		if conn.LocalAddr().Addr() != netip.IPv6Loopback() || conn.RemoteAddr() != six {
			t.Error(conn.LocalAddr(), conn.RemoteAddr())
		}
	}
}

func TestRun(t *testing.T) {
	o := newOverlay(t, "lan.example")
	a := o.start("a")
	if err := a.Run(context.Background()); !errors.Is(err, link.ErrConfig) {
		t.Error("a second Run:", err)
	}
	key := newKey(t)
	taken := must(link.New(link.Config{Listen: a.Addr(), Key: key, Chain: o.chain(o.params("b", key)), Trust: o.trust, Handler: &handler{}}))(t)
	var refused *net.OpError
	if err := taken.Run(testCtx(t)); !errors.As(err, &refused) {
		t.Error("a port in use:", err)
	}
	if taken.Addr().IsValid() {
		t.Error(taken.Addr())
	}
	if _, err := taken.Connect(testCtx(t), a.peer()); !errors.Is(err, link.ErrClosed) {
		t.Error("after Run has failed:", err)
	}
}

// Connect before Run waits; after Run it fails at once.
func TestConnectAroundRun(t *testing.T) {
	o := newOverlay(t, "lan.example")
	b := o.start("b")
	key := newKey(t)
	a := must(link.New(link.Config{Listen: loopback, Key: key, Chain: o.chain(o.params("a", key)), Trust: o.trust, Handler: &handler{}}))(t)
	early := make(chan error, 1)
	go func() {
		_, err := a.Connect(testCtx(t), b.peer())
		early <- err
	}()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	if err := <-early; err != nil {
		t.Error("early:", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := a.Connect(testCtx(t), b.peer()); !errors.Is(err, link.ErrClosed) {
		t.Error("late:", err)
	}
}

// Run leaves nothing behind: no goroutine, no port; and the others learn of it.
func TestShutdown(t *testing.T) {
	o := newOverlay(t, "lan.example")
	b := o.start("b")
	before := runtime.NumGoroutine()
	a := o.start("a")
	entered := make(chan struct{})
	a.onServe(func(ctx context.Context, _ *link.Conn, _ wire.Message) wire.Message {
		close(entered)
		<-ctx.Done()
		return nil
	})
	a.onStream(func(ctx context.Context, _ *link.Conn, _ wire.Message, _ *link.Stream) { <-ctx.Done() })
	conn := must(b.Connect(testCtx(t), a.peer()))(t)
	s := must(conn.Open(testCtx(t), &wire.Carry{}))(t)
	defer s.Close()
	failed := make(chan error, 1)
	go func() {
		_, err := conn.Call(testCtx(t), &wire.Ping{})
		failed <- err
	}()
	<-entered
	addr := a.Addr()
	a.shut(t)
	if err := <-failed; !errors.Is(err, link.ErrLost) {
		t.Error(err)
	}
	select {
	case <-conn.Done():
	case <-time.After(patience):
		t.Error("the other side does not learn of it")
	}
	_ = s.Close()
	eventually(t, "b forgets the connection", func() bool { return len(b.Peers()) == 0 })
	eventually(t, "every goroutine has ended", func() bool { return runtime.NumGoroutine() <= before })
	must(net.ListenUDP("udp4", net.UDPAddrFromAddrPort(addr)))(t).Close()
}

// CloseGracefully answers what it has begun and refuses what comes after.
func TestCloseGracefully(t *testing.T) {
	o := newOverlay(t, "lan.example")
	a, b := o.start("a"), o.start("b")
	entered, release := make(chan struct{}), make(chan struct{})
	b.onServe(func(context.Context, *link.Conn, wire.Message) wire.Message {
		close(entered)
		<-release
		return &wire.Pong{Time: 1}
	})
	begun := make(chan error, 1)
	go func() { begun <- ping(t, a, b) }()
	<-entered
	closed := make(chan error, 1)
	go func() { closed <- b.CloseGracefully(testCtx(t)) }()
	eventually(t, "new requests are refused", func() bool {
		var refused *link.RemoteError
		return errors.As(ping(t, o.start("c"), b), &refused) && refused.Code == wire.CodeUnavailable
	})
	close(release)
	if err := <-begun; err != nil {
		t.Error("the request that was being served:", err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if err := <-b.done; err != nil {
		t.Error(err)
	}
	b.done <- nil
}

// A node that crashes and comes back at its address is reached again at once,
// not after the idle timeout: it resets the connection that it does not know.
func TestCrashAndRestart(t *testing.T) {
	o := newOverlay(t, "lan.example")
	key := newKey(t)
	chain := o.chain(o.params("b", key))
	// Before the crash: a server that dies without a word.
	sock := must(net.ListenUDP("udp4", net.UDPAddrFromAddrPort(loopback)))(t)
	reset := quic.StatelessResetKey(sha256.Sum256(append([]byte("secp2psip/1 stateless reset\x00"), key.Ed25519().Seed()...)))
	tr := &quic.Transport{Conn: sock, ConnectionIDLength: 20, StatelessResetKey: &reset}
	conf := rawTLS(liar{key: key, chain: chain}.certificate(), "secp2psip/1")
	conf.ClientAuth = tls.RequireAnyClientCert
	listener := must(tr.Listen(conf, &quic.Config{}))(t)
	served := make(chan struct{})
	go func() {
		defer close(served)
		if c, err := listener.Accept(context.Background()); err == nil {
			answerAll(c)
		}
	}()
	addr := sock.LocalAddr().(*net.UDPAddr).AddrPort()
	peer := wire.Peer{ID: identity.HashID("b"), Addrs: []netip.AddrPort{addr}}
	a := o.start("a")
	must(a.Call(testCtx(t), peer, &wire.Ping{}))(t)
	old := must(a.Connect(testCtx(t), peer))(t)
	_ = tr.Close()
	_ = sock.Close()
	<-served
	b := o.startWith(key, chain, func(c *link.Config) { c.Listen = addr })
	began := time.Now()
	if err := ping(t, a, b); err != nil {
		t.Fatal(err)
	}
	t.Logf("reached again after %v", time.Since(began))
	select {
	case <-old.Done():
	default:
		t.Error("the old connection is still there")
	}
}
