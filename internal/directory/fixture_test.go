package directory_test

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/secp2psip/secp2psip/internal/canon"
	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/keyshare"
)

const overlay = "lan.example"

// world is an overlay with one issuer and an in-memory ring. Times are those
// of the clock when it was made, virtual in a synctest bubble.
type world struct {
	t       testing.TB
	root    identity.PrivateKey
	trust   *identity.Trust
	issuer  *identity.Issuer
	ring    *ring
	seq     atomic.Uint64
	refused *counter
	logs    *lockedBuffer
}

func newWorld(t testing.TB, members int) *world {
	t.Helper()
	w := &world{t: t, root: newKey(t), refused: &counter{}, logs: &lockedBuffer{}}
	der, err := identity.NewRootCertificate(w.root, overlay, time.Now())
	must(t, err)
	w.trust, err = identity.NewTrust(der, identity.DefaultCharter(overlay, w.root.Public(), time.Now()))
	must(t, err)
	key := newKey(t)
	issuer, err := identity.IssueIssuerCertificate(w.root, der, key.Public(), time.Now())
	must(t, err)
	w.issuer, err = identity.NewIssuer(key, issuer)
	must(t, err)
	w.ring = newRing(members)
	return w
}

// again returns the world with what was put on the ring so far and nothing
// else of its past, for another bubble: all bubbles begin at the same time.
func (w *world) again(t testing.TB, members int) *world {
	t.Helper()
	out := &world{t: t, root: w.root, trust: w.trust, issuer: w.issuer, refused: &counter{}, logs: &lockedBuffer{}, ring: newRing(members)}
	out.seq.Store(w.seq.Load())
	for at, recs := range w.ring.held {
		out.ring.held[at] = slices.Clone(recs)
	}
	return out
}

// directory returns a resolver with its own memory of pins.
func (w *world) directory(edit ...func(*directory.Config)) *directory.Directory {
	w.t.Helper()
	cfg := directory.Config{
		Ring: w.ring, Trust: w.trust, Self: identity.OwnerTag{0xff},
		Log: zerolog.New(w.logs), Refused: w.refused.add,
	}
	for _, e := range edit {
		e(&cfg)
	}
	d, err := directory.New(cfg)
	must(w.t, err)
	w.t.Cleanup(func() { w.stop(d) }) // a bubble ends only when all its goroutines have
	return d
}

// stop ends everything that d does.
func (w *world) stop(d *directory.Directory) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	must(w.t, d.Run(ctx))
}

// freshTrust is the same trust with nothing verified yet.
func (w *world) freshTrust() (*identity.Trust, error) {
	return identity.NewTrust(w.trust.RootCertificate(), w.trust.Charter())
}

func (w *world) nextSeq() uint64 { return w.seq.Add(1) }

// person is somebody enrolled.
type person struct {
	w       *world
	aor     identity.AOR
	number  string
	key     identity.PrivateKey
	version uint32
	owner   identity.OwnerTag
	cert    []byte
	device  identity.PrivateKey
	node    identity.NodeID

	rotations []identity.Rotation
}

// enrol issues the certificate and puts shares, account and number on the ring.
func (w *world) enrol(user, number string) *person {
	w.t.Helper()
	p := w.person(user, number, 1)
	p.put(p.shares(1, p.accountBody())...)
	if number != "" {
		p.put(p.numberRecord())
	}
	return p
}

// person has keys and a certificate, and is nowhere on the ring.
func (w *world) person(user, number string, version uint32) *person {
	w.t.Helper()
	p := &person{w: w, aor: name(w.t, user), number: number, key: newKey(w.t), version: version, device: newKey(w.t)}
	p.node = identity.HashID("node of", user)
	copy(p.owner[:], p.aor.User())
	p.certify()
	return p
}

func (p *person) certify() {
	p.w.t.Helper()
	der, err := p.w.issuer.IssueAccount(identity.AccountParams{
		Key: p.key.Public(), AOR: p.aor, Number: p.number, Version: p.version, Owner: p.owner, Rotations: p.rotations,
		NotBefore: time.Now(), NotAfter: time.Now().Add(90 * 24 * time.Hour),
	})
	must(p.w.t, err)
	p.cert = der
}

func (p *person) put(recs ...record.Record) { p.w.ring.put(p.w.t, p.w.trust, recs...) }

// shares are those of one dealing, and behind them what is signed with them.
func (p *person) shares(dealing uint64, beside ...record.Body) []record.Record {
	p.w.t.Helper()
	recs, err := keyshare.Deal(p.key.Public(), keyshare.Params{
		AOR: p.aor, Owner: p.owner, Version: p.version, Dealing: dealing, K: 4, N: 10,
		Seq: p.w.nextSeq(), Now: time.Now(), Lifetime: 90 * 24 * time.Hour, Beside: beside,
	}, p.w.issuer)
	must(p.w.t, err)
	return recs
}

func (p *person) issued(aor identity.AOR, kind record.Kind, data any) record.Record {
	p.w.t.Helper()
	r, err := record.Sign(p.body(aor, kind, data), p.w.issuer.Key(), record.Chain{Certificates: [][]byte{p.w.issuer.Certificate()}})
	must(p.w.t, err)
	return r
}

func (p *person) body(aor identity.AOR, kind record.Kind, data any) record.Body {
	p.w.t.Helper()
	b := record.Body{AOR: aor.String(), Kind: kind, Seq: p.w.nextSeq(), Time: time.Now().UnixMilli(), Lifetime: 90 * 24 * 3600}
	var err error
	if data == nil {
		b.Tombstone = true
	} else {
		b.Data, err = canon.Marshal(data)
		must(p.w.t, err)
	}
	return b
}

func (p *person) account() record.Record {
	p.w.t.Helper()
	r, err := record.Sign(p.accountBody(), p.w.issuer.Key(), record.Chain{Certificates: [][]byte{p.w.issuer.Certificate()}})
	must(p.w.t, err)
	return r
}

func (p *person) accountBody() record.Body {
	number := ""
	if p.number != "" {
		number = name(p.w.t, p.number).String()
	}
	return p.body(p.aor, record.KindAccount, record.Account{Version: p.version, Certificate: p.cert, Number: number})
}

func (p *person) numberRecord() record.Record {
	return p.issued(name(p.w.t, p.number), record.KindNumber, record.Number{AOR: p.aor.String(), Owner: p.owner})
}

// registration is part 1 at a port, or its tombstone for port 0.
func (p *person) registration(port uint16) record.Record { return p.part(1, port) }

func (p *person) part(part uint64, port uint16) record.Record {
	p.w.t.Helper()
	del, err := identity.Delegation{
		AOR: p.aor.String(), Device: p.device.Public(), Node: p.node, Part: part,
		Issued: time.Now().UnixMilli(), Expires: time.Now().Add(90 * 24 * time.Hour).UnixMilli(),
	}.Sign(p.key)
	must(p.w.t, err)
	b := record.Body{
		AOR: p.aor.String(), Kind: record.KindRegistration, Part: part, Seq: p.w.nextSeq(),
		Time: time.Now().UnixMilli(), Lifetime: 900, Tombstone: port == 0,
	}
	if port != 0 {
		b.Data, err = canon.Marshal(record.Registration{
			Node: p.node, Device: p.device.Public(), Addrs: []netip.AddrPort{netip.AddrPortFrom(netip.MustParseAddr("192.0.2.7"), port)},
		})
		must(p.w.t, err)
	}
	r, err := record.Sign(b, p.device, record.Chain{
		Certificates: [][]byte{p.cert, p.w.issuer.Certificate()}, Delegation: del,
	})
	must(p.w.t, err)
	return r
}

type counter struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *counter) add(reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = make(map[string]int)
	}
	c.n[reason]++
}

func (c *counter) of(reason string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[reason]
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newKey(t testing.TB) identity.PrivateKey {
	t.Helper()
	k, err := identity.GenerateKey()
	must(t, err)
	return k
}

func name(t testing.TB, user string) identity.AOR {
	t.Helper()
	a, err := identity.NewAOR(user, overlay)
	must(t, err)
	return a
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// later lets virtual time pass.
func later(d time.Duration) { <-time.After(d) }

// wantErr fails unless err is want.
func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %v, want %v", err, want)
	}
}
