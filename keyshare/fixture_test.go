package keyshare_test

import (
	"time"

	"pgregory.net/rapid"

	"github.com/secp2psip/secp2psip/internal/canon"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/keyshare"
)

const overlay = "lan.example"

// now is the overlay time of these tests.
var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// world is an overlay with one issuer.
type world struct {
	t      rapid.TB
	root   identity.PrivateKey
	trust  *identity.Trust
	issuer *identity.Issuer
}

func newWorld(t rapid.TB, k, n uint8) *world {
	t.Helper()
	w := &world{t: t, root: newKey(t)}
	der, err := identity.NewRootCertificate(w.root, overlay, now.Add(-time.Hour))
	must(t, err)
	c := identity.DefaultCharter(overlay, w.root.Public(), now.Add(-time.Hour))
	c.K, c.N, c.OwnerRecords = k, n, uint32(n)+64
	w.trust, err = identity.NewTrust(der, c)
	must(t, err)
	w.issuer = w.newIssuer(der)
	return w
}

func (w *world) newIssuer(rootDER []byte) *identity.Issuer {
	w.t.Helper()
	key := newKey(w.t)
	der, err := identity.IssueIssuerCertificate(w.root, rootDER, key.Public(), now.Add(-time.Hour))
	must(w.t, err)
	issuer, err := identity.NewIssuer(key, der)
	must(w.t, err)
	return issuer
}

func (w *world) params(name identity.AOR) keyshare.Params {
	c := w.trust.Charter()
	return keyshare.Params{
		AOR: name, Owner: identity.OwnerTag{1}, Version: 1, Dealing: 1, K: c.K, N: c.N,
		Seq: 1, Now: now, Lifetime: 90 * 24 * time.Hour,
	}
}

func (w *world) deal(key identity.PublicKey, p keyshare.Params) []record.Record {
	w.t.Helper()
	recs, err := keyshare.Deal(key, p, w.issuer)
	must(w.t, err)
	return recs
}

// forge signs a share as the issuer would sign any: what it says is up to edit.
func (w *world) forge(r record.Record, edit func(b *record.Body, s *record.Share)) record.Record {
	w.t.Helper()
	return w.forgeBy(w.issuer.Key(), r, edit)
}

func (w *world) forgeBy(key identity.PrivateKey, r record.Record, edit func(b *record.Body, s *record.Share)) record.Record {
	w.t.Helper()
	b, err := r.Body()
	must(w.t, err)
	var s record.Share
	must(w.t, canon.Unmarshal(b.Data, &s))
	edit(&b, &s)
	if !b.Tombstone {
		b.Data, err = canon.Marshal(s)
		must(w.t, err)
	}
	out, err := record.Sign(b, key, r.Chain)
	must(w.t, err)
	return out
}

// batched is the signed part of a share, as it travels.
type batched struct {
	_         struct{} `cbor:",toarray"`
	Body      []byte
	Index     uint8
	Size      uint8
	Path      []byte
	Signature [64]byte
}

func takeApart(t rapid.TB, r record.Record) (p batched) {
	t.Helper()
	must(t, canon.Unmarshal(r.Signed, &p))
	return p
}

// rebatch alters what says that a share is one of its dealing.
func (w *world) rebatch(r record.Record, edit func(*batched)) record.Record {
	w.t.Helper()
	p := takeApart(w.t, r)
	edit(&p)
	signed, err := canon.Marshal(p)
	must(w.t, err)
	return record.Record{Signed: signed, Chain: record.Chain{Certificates: [][]byte{w.issuer.Certificate()}}}
}

// editShare alters the share in an encoded body.
func editShare(t rapid.TB, body []byte, edit func(*record.Share)) []byte {
	t.Helper()
	var b record.Body
	var s record.Share
	must(t, canon.Unmarshal(body, &b))
	must(t, canon.Unmarshal(b.Data, &s))
	edit(&s)
	var err error
	b.Data, err = canon.Marshal(s)
	must(t, err)
	out, err := canon.Marshal(b)
	must(t, err)
	return out
}

// answer gives a holder's record to the collector as a resolver does.
func (w *world) answer(c *keyshare.Collector, from identity.NodeID, r record.Record) error {
	s, err := keyshare.Verify(r, w.trust, now)
	if err != nil {
		return err
	}
	return c.Add(from, s)
}

func newKey(t rapid.TB) identity.PrivateKey {
	t.Helper()
	k, err := identity.GenerateKey()
	must(t, err)
	return k
}

func name(t rapid.TB, user string) identity.AOR {
	t.Helper()
	a, err := identity.NewAOR(user, overlay)
	must(t, err)
	return a
}

func must(t rapid.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func holder(i int) (id identity.NodeID) {
	id[0] = byte(i + 1)
	return id
}
