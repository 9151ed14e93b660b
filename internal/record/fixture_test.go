package record_test

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/canon"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
)

// testNow is the time of every test that says no other.
var testNow = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const (
	day   = 24 * time.Hour
	grace = 180 * day
)

// world is an overlay with its authority.
type world struct {
	charter identity.Charter
	rootDER []byte
	issuer  *identity.Issuer
	trust   *identity.Trust
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func testKey(t testing.TB, n byte) identity.PrivateKey {
	t.Helper()
	return must[identity.PrivateKey](t)(identity.NewKeyFromSeed(bytes.Repeat([]byte{n}, 32)))
}

// newWorld makes an overlay with the keys n and n+1 and a charter as edited.
func newWorld(t testing.TB, n byte, edit func(*identity.Charter)) *world {
	t.Helper()
	der := must[[]byte](t)
	root, issuer := testKey(t, n), testKey(t, n+1)
	w := &world{charter: identity.DefaultCharter("lan.example", root.Public(), testNow)}
	if edit != nil {
		edit(&w.charter)
	}
	w.rootDER = der(identity.NewRootCertificate(root, w.charter.Overlay, testNow))
	cert := der(identity.IssueIssuerCertificate(root, w.rootDER, issuer.Public(), testNow))
	w.issuer = must[*identity.Issuer](t)(identity.NewIssuer(issuer, cert))
	w.trust = w.freshTrust(t)
	return w
}

func (w *world) freshTrust(t testing.TB) *identity.Trust {
	t.Helper()
	return must[*identity.Trust](t)(identity.NewTrust(w.rootDER, w.charter))
}

// person is a member with one device.
type person struct {
	w               *world
	aor             identity.AOR
	owner           identity.OwnerTag
	account, device identity.PrivateKey
	node            identity.NodeID
	cert            []byte
	version         uint32
	rotations       []identity.Rotation
}

// person enrols a name; n makes its keys and its owner tag.
func (w *world) person(t testing.TB, user string, n byte) *person {
	t.Helper()
	p := &person{
		w: w, aor: must[identity.AOR](t)(identity.NewAOR(user, w.charter.Overlay)), owner: identity.OwnerTag{1, n},
		account: testKey(t, n), device: testKey(t, n+100), node: identity.HashID(user), version: 1,
	}
	p.certify(t)
	return p
}

func (p *person) certify(t testing.TB) {
	t.Helper()
	p.cert = must[[]byte](t)(p.w.issuer.IssueAccount(identity.AccountParams{
		Key: p.account.Public(), AOR: p.aor, Number: "1" + p.aor.User()[:1], Version: p.version, Owner: p.owner,
		Rotations: p.rotations, NotBefore: testNow, NotAfter: testNow.Add(90 * day),
	}))
}

// rotated is the person with the next account key, made by n.
func (p *person) rotated(t testing.TB, n byte) *person {
	t.Helper()
	const most = identity.MaxRotations - 1 // as an issuer does where the account's record would be too large
	next := *p
	next.account, next.version = testKey(t, n), p.version+1
	r := must[identity.Rotation](t)(identity.SignRotation(p.account, p.aor, next.account.Public(), next.version, testNow, time.Hour))
	next.rotations = append(slices.Clone(p.rotations), r)
	next.rotations = next.rotations[max(0, len(next.rotations)-most):]
	next.certify(t)
	return &next
}

func (p *person) delegation(t testing.TB, part uint64) []byte {
	t.Helper()
	return must[identity.SignedDelegation](t)(identity.Delegation{
		AOR: p.aor.String(), Device: p.device.Public(), Node: p.node, Part: part,
		Issued: testNow.UnixMilli(), Expires: testNow.Add(90 * day).UnixMilli(),
	}.Sign(p.account))
}

func (p *person) chain(t testing.TB, part uint64) record.Chain {
	return record.Chain{Certificates: [][]byte{p.cert, p.w.issuer.Certificate()}, Delegation: p.delegation(t, part)}
}

func data(t testing.TB, v any) []byte {
	t.Helper()
	return must[[]byte](t)(canon.Marshal(v))
}

func (p *person) registrationBody(t testing.TB, part, seq uint64) record.Body {
	return record.Body{
		AOR: p.aor.String(), Kind: record.KindRegistration, Part: part, Seq: seq,
		Time: testNow.UnixMilli(), Lifetime: 900,
		Data: data(t, record.Registration{
			Node: p.node, Addrs: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.7:7000")},
			Device: p.device.Public(), Features: []string{"carried"},
		}),
	}
}

func (p *person) registration(t testing.TB, part, seq uint64, edits ...func(*record.Body)) record.Record {
	t.Helper()
	b := p.registrationBody(t, part, seq)
	return must[record.Record](t)(record.Sign(edited(b, edits), p.device, p.chain(t, part)))
}

func edited(b record.Body, edits []func(*record.Body)) record.Body {
	for _, e := range edits {
		e(&b)
	}
	return b
}

func tombstone(b *record.Body) { b.Tombstone, b.Data = true, nil }

func at(now time.Time) func(*record.Body) {
	return func(b *record.Body) { b.Time = now.UnixMilli() }
}

func (p *person) share(x uint8) record.Share {
	return record.Share{
		Version: p.version, Dealing: 1, X: x, Y: bytes.Repeat([]byte{x}, record.ShareLen),
		K: p.w.charter.K, N: p.w.charter.N, Digest: p.account.Public().Digest(), Owner: p.owner,
	}
}

// issued returns a record that the issuer signs.
func (p *person) issued(t testing.TB, k record.Kind, part, seq uint64, v any, edits ...func(*record.Body)) record.Record {
	t.Helper()
	b := record.Body{
		AOR: p.aor.String(), Kind: k, Part: part, Seq: seq, Time: testNow.UnixMilli(), Lifetime: 90 * 86400, Data: data(t, v),
	}
	chain := record.Chain{Certificates: [][]byte{p.w.issuer.Certificate()}}
	return must[record.Record](t)(record.Sign(edited(b, edits), p.w.issuer.Key(), chain))
}

func (p *person) shareRecord(t testing.TB, x uint8, seq uint64, edits ...func(*record.Body)) record.Record {
	t.Helper()
	return p.issued(t, record.KindShare, uint64(x), seq, p.share(x), edits...)
}

// batch returns n shares, account and number as an issuer signs them at one time.
func (p *person) batch(t testing.TB, seq uint64) []record.Record {
	t.Helper()
	var bodies []record.Body
	for x := range p.w.charter.N {
		bodies = append(bodies, must[record.Body](t)(p.shareRecord(t, x+1, seq).Body()))
	}
	bodies = append(bodies, must[record.Body](t)(p.lookup(t, seq).Body()), must[record.Body](t)(p.number(t, seq).Body()))
	recs := must[[]record.Record](t)(record.SignBatch(bodies, p.w.issuer.Key(), record.Chain{Certificates: [][]byte{p.w.issuer.Certificate()}}))
	for i := range p.w.charter.N {
		if p.version > 1 { // shows that its key follows another
			recs[i].Chain.Certificates = [][]byte{p.cert, p.w.issuer.Certificate()}
		}
	}
	return recs
}

func (p *person) lookup(t testing.TB, seq uint64) record.Record {
	t.Helper()
	return p.issued(t, record.KindAccount, 0, seq, record.Account{
		Version: p.version, Certificate: p.cert, Number: "sip:1" + p.aor.User()[:1] + "@" + p.aor.Overlay(),
	})
}

func (p *person) number(t testing.TB, seq uint64) record.Record {
	t.Helper()
	return p.issued(t, record.KindNumber, 0, seq, record.Number{AOR: p.aor.String(), Owner: p.owner},
		func(b *record.Body) { b.AOR = "sip:1" + p.aor.User()[:1] + "@" + p.aor.Overlay() })
}

// allKinds returns one record of each kind.
func (p *person) allKinds(t testing.TB) map[string]record.Record {
	t.Helper()
	return map[string]record.Record{
		"registration": p.registration(t, 1, 5),
		"tombstone":    p.registration(t, 1, 6, tombstone),
		"share":        p.shareRecord(t, 3, 5),
		"account":      p.lookup(t, 5),
		"number":       p.number(t, 5),
		"batched":      p.batch(t, 5)[3],
	}
}
