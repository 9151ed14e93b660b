package link_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/wire"
)

func TestCallBothWays(t *testing.T) {
	o := newOverlay(t, "lan.example")
	a, b := o.start("a"), o.start("b")
	if err := ping(t, a, b); err != nil {
		t.Fatal(err)
	}
	// b knows no address of a: it uses the connection that a has opened.
	if _, err := b.Call(testCtx(t), wire.Peer{ID: a.Link.ID()}, &wire.Ping{}); err != nil {
		t.Fatal(err)
	}
	for n, want := range map[*node]struct {
		id      identity.NodeID
		inbound bool
	}{a: {b.Link.ID(), false}, b: {a.Link.ID(), true}} {
		peers := n.Peers()
		if len(peers) != 1 || peers[0].ID != want.id || peers[0].Inbound != want.inbound || peers[0].Owner.IsZero() {
			t.Errorf("%+v", peers)
		}
	}
	if n := len(a.refused.all()) + len(b.refused.all()); n != 0 {
		t.Error(a.refused.all(), b.refused.all())
	}
}

func TestWrongNode(t *testing.T) {
	o := newOverlay(t, "lan.example")
	a, b := o.start("a"), o.start("b")
	other := b.peer()
	other.ID = identity.HashID("c")
	if _, err := a.Connect(testCtx(t), other); !errors.Is(err, link.ErrWrongNode) {
		t.Error(err)
	}
	if len(a.Peers()) != 0 {
		t.Error("the wrong node is in the pool")
	}
	// Among several addresses the right one is found.
	other = b.peer()
	c := o.start("c")
	other.Addrs = append(c.peer().Addrs, other.Addrs...)
	conn, err := a.Connect(testCtx(t), other)
	if err != nil || conn.ID() != b.Link.ID() {
		t.Error(err)
	}
}

func TestSelf(t *testing.T) {
	o := newOverlay(t, "lan.example")
	a := o.start("a")
	if _, err := a.Connect(testCtx(t), a.peer()); !errors.Is(err, link.ErrSelf) {
		t.Error(err)
	}
	if _, err := a.ConnectAny(testCtx(t), a.Addr()); !errors.Is(err, link.ErrSelf) {
		t.Error(err)
	}
}

// A copy of a node's state folder runs elsewhere.
func TestCopiedIdentity(t *testing.T) {
	o := newOverlay(t, "lan.example")
	key := newKey(t)
	chain := o.chain(o.params("a", key))
	a, twin := o.startWith(key, chain), o.startWith(key, chain)
	if _, err := twin.ConnectAny(testCtx(t), a.Addr()); !errors.Is(err, link.ErrSelf) {
		t.Error(err)
	}
}

func TestConnectAny(t *testing.T) {
	o := newOverlay(t, "lan.example")
	a, b := o.start("a"), o.start("b")
	c, err := a.ConnectAny(testCtx(t), b.Addr())
	if err != nil || c.ID() != b.Link.ID() || c.Bootstrap() {
		t.Fatal(c, err)
	}
	if pooled, err := a.Connect(testCtx(t), wire.Peer{ID: b.Link.ID()}); err != nil || pooled != c {
		t.Error("the connection is not in the pool:", err)
	}
}

// liar is a certificate chain that must not get anybody in, with its key.
type liar struct {
	name  string
	key   identity.PrivateKey
	chain [][]byte
}

func liars(t *testing.T, o *overlay) []liar {
	t.Helper()
	key := newKey(t)
	expired := o.params("m", key)
	expired.NotBefore, expired.NotAfter = time.Now().Add(-400*24*time.Hour), time.Now().Add(-181*24*time.Hour)
	early := o.params("m", key)
	early.NotBefore, early.NotAfter = time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
	foreign := newOverlay(t, "other.example")
	namesake := newOverlay(t, o.name)
	swapped := o.chain(o.params("m", newKey(t))) // somebody else's certificate
	good := o.chain(o.params("m", key))
	return []liar{
		{"self-signed", key, [][]byte{selfSigned(t, key)}},
		{"self-signed below the issuer", key, [][]byte{selfSigned(t, key), o.issuer.Certificate()}},
		{"expired beyond the grace", key, o.chain(expired)},
		{"not yet valid", key, o.chain(early)},
		{"of another overlay", key, foreign.chain(foreign.params("m", key))},
		{"of an overlay of the same name", key, namesake.chain(namesake.params("m", key))},
		{"with another issuer above it", key, [][]byte{good[0], namesake.issuer.Certificate()}},
		{"of somebody else", key, swapped},
		{"without its issuer", key, good[:1]},
		{"the issuer's own", key, [][]byte{o.issuer.Certificate(), o.issuer.Certificate()}},
		{"an account's", key, [][]byte{account(t, o, key), o.issuer.Certificate()}},
	}
}

func selfSigned(t *testing.T, key identity.PrivateKey) []byte {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	return must(x509.CreateCertificate(rand.Reader, template, template, key.Ed25519().Public(), key.Ed25519()))(t)
}

func account(t *testing.T, o *overlay, key identity.PrivateKey) []byte {
	t.Helper()
	return must(o.issuer.IssueAccount(identity.AccountParams{
		Key: key.Public(), AOR: must(identity.NewAOR("mallory", o.name))(t), Version: 1, Owner: identity.NewOwnerTag(),
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}))(t)
}

func (l liar) certificate() tls.Certificate {
	return tls.Certificate{Certificate: l.chain, PrivateKey: ed25519.PrivateKey(l.key.Ed25519())}
}

// A1: whoever cannot show a certificate of a node of this overlay, for the key
// that it holds, gets nothing served and is served by nobody.
func TestMatrixA1Certificates(t *testing.T) {
	o := newOverlay(t, "lan.example")
	tried := 0
	for _, m := range liars(t, o) {
		tried += 2
		t.Run("connects/"+m.name, func(t *testing.T) {
			o.t = t
			a := o.start("a")
			if err := rawPing(testCtx(t), a.Addr(), m.certificate()); err == nil {
				t.Fatal("answered")
			}
			eventually(t, "the refusal is counted", func() bool {
				return a.refused.of(link.ReasonCertificate)+a.refused.of(link.ReasonHandshake) > 0
			})
			if a.served() != 0 || len(a.Peers()) != 0 {
				t.Error("served")
			}
		})
		t.Run("is connected to/"+m.name, func(t *testing.T) {
			o.t = t
			a := o.start("a")
			server := rawServer(t, m.certificate())
			_, err := a.Call(testCtx(t), wire.Peer{ID: identity.HashID("m"), Addrs: server.addrs()}, &wire.Ping{})
			if err == nil {
				t.Fatal("answered")
			}
			if server.handshakes.Load() == 0 {
				t.Fatal("the attack did not happen")
			}
			if len(a.Peers()) != 0 {
				t.Error("in the pool")
			}
			t.Log(err)
		})
	}
	t.Logf("matrix: A1 links with a wrong certificate, in either direction: 0 of %d", tried)
}

// A1: no certificate at all, or another protocol.
func TestMatrixA1NoCertificate(t *testing.T) {
	o := newOverlay(t, "lan.example")
	a := o.start("a")
	if err := rawPing(testCtx(t), a.Addr(), tls.Certificate{}); err == nil {
		t.Fatal("answered")
	}
	eventually(t, "the refusal is counted", func() bool { return a.refused.of(link.ReasonHandshake) == 1 })
	for _, alpn := range []string{"h3", "secp2psip-enrol/1"} {
		if _, err := rawDial(testCtx(t), a.Addr(), tls.Certificate{}, alpn); err == nil {
			t.Errorf("speaks %s", alpn)
		}
	}
	eventually(t, "the refusals are counted", func() bool { return a.refused.of(link.ReasonProtocol) == 2 })
	if a.served() != 0 {
		t.Error("served")
	}
	t.Logf("matrix: A1 links without a certificate or with another protocol: %d of 3 served", a.served())
}

// Within the grace, and while the clock is not known to be right, an expired
// certificate is good.
func TestExpired(t *testing.T) {
	o := newOverlay(t, "lan.example")
	key := newKey(t)
	p := o.params("b", key)
	p.NotBefore, p.NotAfter = time.Now().Add(-100*24*time.Hour), time.Now().Add(-10*24*time.Hour)
	b := o.startWith(key, o.chain(p))
	if err := ping(t, o.start("a"), b); err != nil {
		t.Error("within the grace:", err)
	}
	in1970 := func(c *link.Config) {
		c.Now = func() time.Time { return time.Unix(3600, 0) }
	}
	unsynced := func(c *link.Config) { c.ClockSynced = func() bool { return false } }
	if err := ping(t, o.start("c", in1970, unsynced), b); err != nil {
		t.Error("with a clock that is not set yet:", err)
	}
	if err := ping(t, o.start("d", in1970), b); !errors.Is(err, identity.ErrExpired) {
		t.Error("with a clock said to be right that is not:", err)
	}
}

func TestRenewedIdentity(t *testing.T) {
	o := newOverlay(t, "lan.example")
	key := newKey(t)
	p := o.params("b", key)
	b := o.startWith(key, o.chain(p))
	p.NotAfter = p.NotAfter.Add(time.Hour)
	renewed := o.chain(p)
	if err := b.SetIdentity(renewed); err != nil {
		t.Fatal(err)
	}
	c := must(o.start("a").Connect(testCtx(t), b.peer()))(t)
	if string(c.Certificate().DER) != string(renewed[0]) {
		t.Error("the old certificate is shown")
	}
	if err := b.SetIdentity(o.chain(o.params("c", key))); !errors.Is(err, link.ErrConfig) {
		t.Error("another Node-ID:", err)
	}
	if err := b.SetIdentity(o.chain(o.params("b", newKey(t)))); !errors.Is(err, link.ErrConfig) {
		t.Error("another key:", err)
	}
}

func TestBadConfig(t *testing.T) {
	o := newOverlay(t, "lan.example")
	key := newKey(t)
	good := link.Config{Key: key, Chain: o.chain(o.params("a", key)), Trust: o.trust, Handler: &handler{}}
	if _, err := link.New(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*link.Config){
		"no trust":    func(c *link.Config) { c.Trust = nil },
		"no handler":  func(c *link.Config) { c.Handler = nil },
		"another key": func(c *link.Config) { c.Key = newKey(t) },
		"no chain":    func(c *link.Config) { c.Chain = nil },
	} {
		cfg := good
		change(&cfg)
		if _, err := link.New(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
