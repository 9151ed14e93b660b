package link_test

import (
	"context"
	"crypto/sha256"
	"maps"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// patience is how long a test waits for something that must happen.
const patience = 20 * time.Second

var loopback = netip.MustParseAddrPort("127.0.0.1:0")

// overlay issues certificates for tests.
type overlay struct {
	t       testing.TB
	name    string
	rootDER []byte
	issuer  *identity.Issuer
	trust   *identity.Trust
}

func newOverlay(t testing.TB, name string) *overlay {
	t.Helper()
	now := time.Now()
	root, issuerKey := newKey(t), newKey(t)
	rootDER := must(identity.NewRootCertificate(root, name, now))(t)
	issuerDER := must(identity.IssueIssuerCertificate(root, rootDER, issuerKey.Public(), now))(t)
	return &overlay{
		t: t, name: name, rootDER: rootDER,
		issuer: must(identity.NewIssuer(issuerKey, issuerDER))(t),
		trust:  must(identity.NewTrust(rootDER, identity.DefaultCharter(name, root.Public(), now)))(t),
	}
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

func newKey(t testing.TB) identity.PrivateKey {
	t.Helper()
	return must(identity.GenerateKey())(t)
}

// fingerprint is what a join link carries.
func (o *overlay) fingerprint() [32]byte { return sha256.Sum256(o.rootDER) }

// params are a node certificate's, valid now.
func (o *overlay) params(name string, key identity.PrivateKey) identity.NodeParams {
	now := time.Now()
	return identity.NodeParams{
		Key: key.Public(), ID: identity.HashID(name), Overlay: o.name, Owner: identity.NewOwnerTag(),
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
	}
}

func (o *overlay) chain(p identity.NodeParams) [][]byte {
	o.t.Helper()
	return [][]byte{must(o.issuer.IssueNode(p))(o.t), o.issuer.Certificate()}
}

// node is a running link with a handler that echoes.
type node struct {
	*link.Link
	*handler
	refused *counters
	stop    context.CancelFunc
	done    chan error
}

// start runs a node under the name, which makes its Node-ID.
func (o *overlay) start(name string, change ...func(*link.Config)) *node {
	o.t.Helper()
	key := newKey(o.t)
	return o.startWith(key, o.chain(o.params(name, key)), change...)
}

func (o *overlay) startWith(key identity.PrivateKey, chain [][]byte, change ...func(*link.Config)) *node {
	o.t.Helper()
	n := &node{handler: &handler{}, refused: &counters{counts: make(map[string]int)}, done: make(chan error, 1)}
	cfg := link.Config{Listen: loopback, Key: key, Chain: chain, Trust: o.trust, Handler: n.handler, Refused: n.refused.count}
	for _, f := range change {
		f(&cfg)
	}
	n.Link = must(link.New(cfg))(o.t)
	ctx, cancel := context.WithCancel(context.Background())
	n.stop = cancel
	go func() { n.done <- n.Run(ctx) }()
	select {
	case <-n.Ready():
	case err := <-n.done:
		o.t.Fatalf("link ended before it was ready: %v", err)
	}
	o.t.Cleanup(func() { n.shut(o.t) })
	return n
}

// shut stops the node and waits until Run has returned.
func (n *node) shut(t testing.TB) {
	t.Helper()
	n.stop()
	select {
	case err := <-n.done:
		if err != nil {
			t.Errorf("Run: %v", err)
		}
		n.done <- nil
	case <-time.After(patience):
		t.Fatal("Run does not return")
	}
}

// peer names the node as others know it.
func (n *node) peer() wire.Peer {
	return wire.Peer{ID: n.Link.ID(), Addrs: []netip.AddrPort{n.Addr()}}
}

// handler answers Ping with Pong and Find with Found; a test can put functions
// in their place.
type handler struct {
	mu     sync.Mutex
	serve  func(context.Context, *link.Conn, wire.Message) wire.Message
	stream func(context.Context, *link.Conn, wire.Message, *link.Stream)
	calls  int
}

func (h *handler) onServe(f func(context.Context, *link.Conn, wire.Message) wire.Message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.serve = f
}

func (h *handler) onStream(f func(context.Context, *link.Conn, wire.Message, *link.Stream)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stream = f
}

func (h *handler) served() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.calls
}

func (h *handler) Serve(ctx context.Context, from *link.Conn, req wire.Message) wire.Message {
	h.mu.Lock()
	h.calls++
	f := h.serve
	h.mu.Unlock()
	if f != nil {
		return f(ctx, from, req)
	}
	if _, ok := req.(*wire.Ping); ok {
		return &wire.Pong{Time: 1}
	}
	return nil
}

func (h *handler) ServeStream(ctx context.Context, from *link.Conn, open wire.Message, s *link.Stream) {
	h.mu.Lock()
	h.calls++
	f := h.stream
	h.mu.Unlock()
	if f != nil {
		f(ctx, from, open, s)
	}
}

// counters counts refusals by reason.
type counters struct {
	mu     sync.Mutex
	counts map[string]int
}

func (c *counters) count(reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts[reason]++
}

func (c *counters) of(reason string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts[reason]
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
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !cond(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("does not happen: %s", what)
		}
	}
}

func testCtx(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// ping calls from one node to another and returns the error.
func ping(t testing.TB, from, to *node) error {
	t.Helper()
	m, err := from.Call(testCtx(t), to.peer(), &wire.Ping{})
	if err != nil {
		return err
	}
	if p, ok := m.(*wire.Pong); !ok || p.Time != 1 {
		t.Fatalf("answer %T", m)
	}
	return nil
}
