package node_test

import (
	"context"
	"maps"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.etcd.io/bbolt"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/node"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// patience is how long a test waits for something that must happen.
const patience = 90 * time.Second

var loopback = netip.MustParseAddrPort("127.0.0.1:0")

// overlay issues certificates for tests.
type overlay struct {
	t      testing.TB
	issuer *identity.Issuer
	trust  *identity.Trust
	root   identity.PrivateKey
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func newOverlay(t testing.TB) *overlay {
	t.Helper()
	now := time.Now()
	root, key := must(identity.GenerateKey())(t), must(identity.GenerateKey())(t)
	rootDER := must(identity.NewRootCertificate(root, "lan.example", now))(t)
	issuerDER := must(identity.IssueIssuerCertificate(root, rootDER, key.Public(), now))(t)
	return &overlay{
		t: t, issuer: must(identity.NewIssuer(key, issuerDER))(t), root: root,
		trust: must(identity.NewTrust(rootDER, identity.DefaultCharter("lan.example", root.Public(), now)))(t),
	}
}

// member issues what a node of this name needs; its owner has no other.
func (o *overlay) member(name string) (key identity.PrivateKey, chain [][]byte) {
	o.t.Helper()
	key = must(identity.GenerateKey())(o.t)
	now := time.Now()
	leaf := must(o.issuer.IssueNode(identity.NodeParams{
		Key: key.Public(), ID: identity.HashID(name), Overlay: "lan.example", Owner: identity.NewOwnerTag(),
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
	}))(o.t)
	return key, [][]byte{leaf, o.issuer.Certificate()}
}

// peer is a running node.
type peer struct {
	*node.Node
	name    string
	db      *bbolt.DB // nil in memory
	refused *counters
	stop    func()
}

// start runs a node that joins through others.
func (o *overlay) start(name string, change func(*node.Config), seeds ...*peer) *peer {
	o.t.Helper()
	p := &peer{name: name, refused: &counters{counts: map[string]int{}}}
	clock := must(identity.NewClock("", time.Now))(o.t)
	cfg := node.Config{
		Trust: o.trust, Time: node.NewTimekeeper(clock, zerolog.Nop()), Pins: must(identity.LoadPins(""))(o.t),
		Listen: loopback, Refused: p.refused.count, Alone: len(seeds) == 0,
		Reach:  node.ReachTiming{Retry: 200 * time.Millisecond, Check: 600 * time.Millisecond, Silent: 100 * time.Millisecond, Lease: 250 * time.Millisecond},
		Limits: link.Limits{Handshake: time.Second},
		Log:    zerolog.New(zerolog.NewTestWriter(o.t)).Level(zerolog.WarnLevel).With().Str("node", name).Logger(),
	}
	cfg.Key, cfg.Chain = o.member(name)
	if change != nil {
		change(&cfg)
	}
	p.db = cfg.DB
	p.Node = must(node.New(cfg))(o.t)
	var known []wire.Peer
	for _, s := range seeds {
		known = append(known, s.Self())
	}
	p.SeedPeers(known)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	p.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				o.t.Errorf("%s: %v", name, err)
			}
		case <-time.After(patience):
			o.t.Errorf("%s does not end", name)
		}
	})
	o.t.Cleanup(p.stop)
	select {
	case <-p.Joined():
	case <-time.After(patience):
		o.t.Fatalf("%s does not join", name)
	}
	return p
}

// counters counts refusals as room/reason.
type counters struct {
	mu     sync.Mutex
	counts map[string]int
}

func (c *counters) count(room, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts[room+"/"+reason]++
}

func (c *counters) of(key string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts[key]
}

func (c *counters) all() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.counts)
}

// eventually waits until cond holds. What it waits for happens on sockets, so
// there is nothing to wait on but the condition itself.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !cond(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("does not happen: %s", what)
		}
	}
}

func limited(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// meteredSocket counts what a node sends.
type meteredSocket struct {
	net.PacketConn
	bytes atomic.Int64
}

func (s *meteredSocket) WriteTo(b []byte, to net.Addr) (int, error) {
	s.bytes.Add(int64(len(b)))
	return s.PacketConn.WriteTo(b, to)
}

// victim counts what reaches a socket that never answers.
type victim struct {
	at             netip.AddrPort
	bytes, packets atomic.Int64
}

func newVictim(t testing.TB) *victim {
	t.Helper()
	sock := must(net.ListenUDP("udp4", net.UDPAddrFromAddrPort(loopback)))(t)
	t.Cleanup(func() { sock.Close() })
	v := &victim{at: sock.LocalAddr().(*net.UDPAddr).AddrPort()}
	go func() {
		b := make([]byte, 2048)
		for {
			n, err := sock.Read(b)
			if err != nil {
				return
			}
			v.bytes.Add(int64(n))
			v.packets.Add(1)
		}
	}()
	return v
}

// liar is an enrolled node without a ring: a link that says what the test wants.
type liar struct {
	*link.Link
	socket *meteredSocket
}

func (o *overlay) liar(name string) *liar {
	o.t.Helper()
	l := &liar{}
	key, chain := o.member(name)
	l.Link = must(link.New(link.Config{
		Listen: loopback, Key: key, Chain: chain, Trust: o.trust, Handler: deaf{},
		Socket: func(at netip.AddrPort) (net.PacketConn, error) {
			sock, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at))
			l.socket = &meteredSocket{PacketConn: sock}
			return l.socket, err
		},
	}))(o.t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	o.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			o.t.Error(err)
		}
	})
	select {
	case <-l.Ready():
	case <-time.After(patience):
		o.t.Fatal("the liar's link does not start")
	}
	return l
}

// deaf serves nothing.
type deaf struct{}

func (deaf) Serve(context.Context, *link.Conn, wire.Message) wire.Message { return nil }

func (deaf) ServeStream(context.Context, *link.Conn, wire.Message, *link.Stream) {}
