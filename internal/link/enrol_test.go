package link_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// registrar answers EnrolStart with the exporter as nonce, so that a test sees
// what the server saw.
type registrar struct {
	mu    sync.Mutex
	from  []link.EnrolPeer
	asked []wire.Type
}

func (r *registrar) ServeEnrol(_ context.Context, from link.EnrolPeer, req wire.Message) wire.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.from, r.asked = append(r.from, from), append(r.asked, req.Type())
	if _, ok := req.(*wire.EnrolStart); !ok {
		return nil
	}
	return &wire.EnrolChallenge{Nonce: from.Exporter, Charter: identity.SignedCharter{1}, Root: []byte{1}, Issuer: []byte{1}}
}

func (r *registrar) served() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.asked)
}

func (r *registrar) first() link.EnrolPeer {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.from[0]
}

// bootstrap starts a node that may enrol.
func (o *overlay) bootstrap(change ...func(*link.Config)) (*node, *registrar) {
	o.t.Helper()
	key, r := newKey(o.t), &registrar{}
	p := o.params("bootstrap", key)
	p.Bootstrap = true
	serve := func(c *link.Config) { c.Enrol = r }
	return o.startWith(key, o.chain(p), append([]func(*link.Config){serve}, change...)...), r
}

func dialEnrol(t *testing.T, o *overlay, to *node) *link.EnrolConn {
	t.Helper()
	c := must(link.DialEnrol(testCtx(t), to.Addr().String(), o.fingerprint(), nil))(t)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestEnrol(t *testing.T) {
	o := newOverlay(t, "lan.example")
	b, r := o.bootstrap()
	c := dialEnrol(t, o, b)
	if string(c.RootDER()) != string(o.rootDER) {
		t.Error("another root certificate")
	}
	m := must(c.Call(testCtx(t), &wire.EnrolStart{}))(t).(*wire.EnrolChallenge)
	if exporter := must(c.Exporter())(t); exporter != m.Nonce || exporter == [32]byte{} {
		t.Error("the two ends export other secrets")
	}
	if addr := r.first().Addr; addr.Port() != c.LocalAddr().Port() || !addr.Addr().IsLoopback() {
		t.Errorf("the server sees %s, the newcomer is at %s", addr, c.LocalAddr())
	}
	second := dialEnrol(t, o, b)
	if must(second.Exporter())(t) == m.Nonce {
		t.Error("two connections export the same secret")
	}
	if len(b.Peers()) != 0 {
		t.Error("a stranger is in the pool")
	}
}

// The newcomer talks to nobody but a bootstrap server of the overlay that its
// join link names.
func TestEnrolWrongServer(t *testing.T) {
	o := newOverlay(t, "lan.example")
	b, _ := o.bootstrap()
	wrong := o.fingerprint()
	wrong[0]++
	if _, err := link.DialEnrol(testCtx(t), b.Addr().String(), wrong, nil); !errors.Is(err, link.ErrWrongRoot) {
		t.Error("another fingerprint:", err)
	}
	member := o.start("member", func(c *link.Config) { c.Enrol = &registrar{} })
	if _, err := link.DialEnrol(testCtx(t), member.Addr().String(), o.fingerprint(), nil); !errors.Is(err, link.ErrNotBootstrap) {
		t.Error("a member that enrols:", err)
	}
	plain := o.start("plain")
	if _, err := link.DialEnrol(testCtx(t), plain.Addr().String(), o.fingerprint(), nil); !errors.Is(err, link.ErrUnreachable) {
		t.Error("a node that does not enrol:", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	silent := must(net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}))(t)
	defer silent.Close()
	if _, err := link.DialEnrol(ctx, silent.LocalAddr().String(), o.fingerprint(), nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Error("a port where nobody answers:", err)
	}
	for _, addr := range []string{"127.0.0.1", "127.0.0.1:0", "127.0.0.1:x", ""} {
		if _, err := link.DialEnrol(testCtx(t), addr, o.fingerprint(), nil); !errors.Is(err, link.ErrConfig) {
			t.Errorf("%q: %v", addr, err)
		}
	}
}

// Everybody knows the root certificate. An attacker in the middle puts it behind
// a chain of its own.
func TestMatrixA1ForgedBootstrap(t *testing.T) {
	o := newOverlay(t, "lan.example")
	key := newKey(t)
	mallory := newOverlay(t, "lan.example")
	p := mallory.params("bootstrap", key)
	p.Bootstrap = true
	forged := mallory.chain(p)
	member := o.params("mallory", key)
	tried := 0
	for name, chain := range map[string][][]byte{
		"an issuer of its own":    {forged[0], forged[1], o.rootDER},
		"the overlay's issuer":    {forged[0], o.issuer.Certificate(), o.rootDER},
		"no issuer":               {forged[0], o.rootDER},
		"a member's certificate":  append(o.chain(member), o.rootDER),
		"a root of the same name": {forged[0], forged[1], mallory.rootDER},
		"the root among others":   {forged[0], o.rootDER, mallory.rootDER},
		"the root alone":          {o.rootDER, o.rootDER, o.rootDER},
		"self-signed":             {selfSigned(t, key), o.issuer.Certificate(), o.rootDER},
		"too large a certificate": {bigCertificate(t, key), o.issuer.Certificate(), o.rootDER},
	} {
		tried++
		t.Run(name, func(t *testing.T) {
			server := rawServerALPN(t, tls.Certificate{Certificate: chain, PrivateKey: key.Ed25519()}, "secp2psip-enrol/1")
			_, err := link.DialEnrol(testCtx(t), server.addrs()[0].String(), o.fingerprint(), nil)
			if err == nil {
				t.Fatal("accepted")
			}
			if server.handshakes.Load() == 0 {
				t.Fatal("the attack did not happen")
			}
			t.Log(err)
		})
	}
	t.Logf("matrix: A1 forged bootstrap servers accepted: 0 of %d", tried)
}

func bigCertificate(t *testing.T, key identity.PrivateKey) []byte {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		SubjectKeyId: make([]byte, 4000),
	}
	return must(x509.CreateCertificate(rand.Reader, template, template, key.Ed25519().Public(), key.Ed25519()))(t)
}

// A6: without a certificate there is no answer to anything but enrolment.
func TestMatrixA6NoCertificateNoRing(t *testing.T) {
	o := newOverlay(t, "lan.example")
	b, r := o.bootstrap()
	rec := record.Record{Signed: []byte{1}}
	asks := []wire.Message{
		&wire.Join{}, &wire.Store{Record: rec}, &wire.StoreMany{}, &wire.Fetch{}, &wire.Find{}, &wire.GetState{},
		&wire.Notify{}, &wire.Leave{}, &wire.Renew{Signed: []byte{1}}, &wire.Carry{}, &wire.Ack{},
	}
	c := dialEnrol(t, o, b)
	for _, m := range asks {
		var refused *link.RemoteError
		if answer, err := c.Call(testCtx(t), m); !errors.As(err, &refused) || refused.Code != wire.CodeForbidden {
			t.Errorf("%s: %v, %v", m.Type(), answer, err)
		}
	}
	if n := b.refused.of(link.ReasonEnrolForbidden); n != len(asks) {
		t.Errorf("%d refusals counted of %d", n, len(asks))
	}
	if r.served() != 0 || b.handler.served() != 0 {
		t.Error("a handler was asked")
	}
	t.Logf("matrix: A6 ring messages served without a certificate: %d of %d", r.served()+b.handler.served(), len(asks))
}

func TestEnrolLimits(t *testing.T) {
	o := newOverlay(t, "lan.example")
	b, r := o.bootstrap(func(c *link.Config) { c.Limits.Enrolments, c.Limits.EnrolTime = 1, 300*time.Millisecond })
	first := dialEnrol(t, o, b)
	asked := 0
	for {
		if _, err := first.Call(testCtx(t), &wire.EnrolStart{}); err != nil {
			break
		}
		asked++
	}
	if asked == 0 || asked > 16 || r.served() != asked {
		t.Errorf("%d requests answered, %d served", asked, r.served())
	}
	// The first connection has had its time: its place is free.
	second := dialEnrol(t, o, b)
	if _, err := second.Call(testCtx(t), &wire.EnrolStart{}); err != nil {
		t.Error(err)
	}
	third := dialEnrol(t, o, b)
	if _, err := third.Call(testCtx(t), &wire.EnrolStart{}); err == nil {
		t.Error("two at once")
	}
	if b.refused.of(link.ReasonEnrolFull) != 1 {
		t.Error(b.refused.all())
	}
}
