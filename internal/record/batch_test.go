package record_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/secp2psip/secp2psip/internal/canon"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
)

// batched is the signed part of a record of a batch, as it travels.
type batched struct {
	_         struct{} `cbor:",toarray"`
	Body      []byte
	Index     uint8
	Size      uint8
	Path      []byte
	Signature [64]byte
}

func takeApart(t testing.TB, r record.Record) (p batched) {
	t.Helper()
	if err := canon.Unmarshal(r.Signed, &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// One check of a signature serves all records of a batch, whichever come, and
// only them.
func TestBatchCostsOneSignature(t *testing.T) {
	w := newWorld(t, 1, nil)
	alice := w.person(t, "alice", 20)
	recs := alice.batch(t, 5)
	trust := w.freshTrust(t)
	known := must[*record.Verified](t)(record.Verify(recs[10], trust, testNow)) // and with it the certificates
	before := trust.Checked()
	for i, r := range recs {
		v := must[*record.Verified](t)(record.Verify(r, trust, testNow))
		if v.AOR != alice.aor && i < 11 || v.Issuer.Key != known.Issuer.Key || r.Size() != len(data(t, r)) {
			t.Fatalf("record %d: %+v", i, v.Body)
		}
	}
	if after := trust.Checked(); after != before {
		t.Errorf("%d signatures checked of a batch whose root was known", after-before)
	}
	if _, err := record.Verify(alice.batch(t, 6)[0], trust, testNow); err != nil || trust.Checked() != before+1 {
		t.Errorf("another batch: %v, %d signatures", err, trust.Checked()-before)
	}
}

func TestSignBatchRefuses(t *testing.T) {
	w := newWorld(t, 1, nil)
	alice := w.person(t, "alice", 20)
	share := must[record.Body](t)(alice.shareRecord(t, 1, 5).Body())
	bad := share
	bad.Seq = 0
	for name, bodies := range map[string][]record.Body{
		"none": nil, "one": {share}, "too many": make([]record.Body, record.MaxBatch+1),
		"a registration": {share, alice.registrationBody(t, 1, 5)}, "no body": {share, bad},
	} {
		if _, err := record.SignBatch(bodies, w.issuer.Key(), record.Chain{}); !errors.Is(err, record.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	fat := record.Chain{Certificates: [][]byte{make([]byte, record.MaxRecord)}}
	if _, err := record.SignBatch([]record.Body{share, share}, w.issuer.Key(), fat); !errors.Is(err, record.ErrTooLarge) {
		t.Error(err)
	}
}

func TestBatchGolden(t *testing.T) {
	b := record.Body{
		AOR: "sip:alice@lan.example", Kind: record.KindShare, Part: 3, Seq: 1000, Time: 1772366400000,
		Lifetime: 900, Data: []byte{0xaa},
	}
	other := b
	other.Part, other.Data = 4, []byte{0xbb}
	recs := must[[]record.Record](t)(record.SignBatch([]record.Body{other, b}, testKey(t, 1), record.Chain{}))
	const head = "85" + "5834" +
		"89" + "75" + "7369703a616c696365406c616e2e6578616d706c65" + "02" + "03" + "1903e8" +
		"1b0000019ca9450a00" + "190384" + "1b0000019ca952c5a0" + "f4" + "41aa" +
		"01" + "02" + "5820"
	if got := hex.EncodeToString(recs[1].Signed); got[:len(head)] != head || len(got) != len(head)+64+4+128 {
		t.Fatal(got)
	}
}

// An attacker that has seen whole batches by the issuer, of others and its own,
// and has keys of its own, puts together what it likes.
func TestMatrixD1ForgedBatchesRefused(t *testing.T) {
	w := newWorld(t, 1, nil)
	alice, mallory := w.person(t, "alice", 20), w.person(t, "mallory", 30)
	recs, theirs, single := alice.batch(t, 5), mallory.batch(t, 5), alice.shareRecord(t, 4, 5)
	good, other := takeApart(t, recs[3]), takeApart(t, theirs[3])
	root := must[[]byte](t)(canon.Marshal([]any{good.Size, make([]byte, 32)}))
	edit := func(f func(p *batched)) record.Record {
		p := good
		p.Path = bytes.Clone(good.Path)
		f(&p)
		return record.Record{Signed: data(t, p), Chain: recs[3].Chain}
	}
	registration := func() record.Record {
		r := alice.registration(t, 1, 5)
		body := must[[]byte](t)(canon.Payload(r.Signed))
		return record.Record{Signed: data(t, batched{
			Body: body, Size: 2, Path: make([]byte, 32), Signature: [64]byte(r.Signed[len(r.Signed)-64:]),
		}), Chain: r.Chain}
	}
	tried, accepted := 0, 0
	for name, c := range map[string]struct {
		r    record.Record
		want error
	}{
		"body of another":            {edit(func(p *batched) { p.Body = other.Body }), identity.ErrUntrusted},
		"body of its neighbour":      {edit(func(p *batched) { p.Body = takeApart(t, recs[2]).Body }), identity.ErrUntrusted},
		"path of another tree":       {edit(func(p *batched) { p.Path = other.Path }), identity.ErrUntrusted},
		"path of its neighbour":      {edit(func(p *batched) { p.Path = takeApart(t, recs[2]).Path }), identity.ErrUntrusted},
		"path turned round":          {edit(func(p *batched) { copy(p.Path, good.Path[32:64]); copy(p.Path[32:], good.Path[:32]) }), identity.ErrUntrusted},
		"signature of another tree":  {edit(func(p *batched) { p.Signature = other.Signature }), identity.ErrUntrusted},
		"another index":              {edit(func(p *batched) { p.Index = 2 }), identity.ErrUntrusted},
		"index past the end":         {edit(func(p *batched) { p.Index = p.Size }), record.ErrMalformed},
		"another size":               {edit(func(p *batched) { p.Size++ }), identity.ErrUntrusted},
		"too deep":                   {edit(func(p *batched) { p.Path = append(p.Path, make([]byte, 32)...) }), record.ErrMalformed},
		"not deep enough":            {edit(func(p *batched) { p.Path = p.Path[:96] }), record.ErrMalformed},
		"no path":                    {edit(func(p *batched) { p.Path = nil }), record.ErrMalformed},
		"a path of half a hash":      {edit(func(p *batched) { p.Path = p.Path[:112] }), record.ErrMalformed},
		"alone":                      {edit(func(p *batched) { p.Index, p.Size, p.Path = 0, 1, nil }), record.ErrMalformed},
		"one of 129":                 {edit(func(p *batched) { p.Size = record.MaxBatch + 1 }), record.ErrMalformed},
		"one of none":                {edit(func(p *batched) { p.Size = 0 }), record.ErrMalformed},
		"a head's signature":         {edit(func(p *batched) { p.Signature = [64]byte(single.Signed[len(single.Signed)-64:]) }), identity.ErrUntrusted},
		"a registration":             {registration(), record.ErrMalformed},
		"by the owner":               {record.Record{Signed: recs[3].Signed, Chain: alice.chain(t, 1)}, record.ErrMalformed},
		"a root's signature":         {record.Record{Signed: withSignature(single.Signed, good.Signature), Chain: single.Chain}, identity.ErrUntrusted},
		"the root as a body":         {record.Record{Signed: must[[]byte](t)(mallory.account.Sign("secp2psip/1 record", root)), Chain: single.Chain}, record.ErrMalformed},
		"another issuer's signature": {record.Record{Signed: newWorld(t, 60, nil).person(t, "alice", 20).batch(t, 5)[3].Signed, Chain: recs[3].Chain}, identity.ErrUntrusted},
	} {
		tried++
		for range 2 { // a refusal must not be remembered as success
			v, err := record.Verify(c.r, w.trust, testNow)
			if v != nil || err == nil {
				accepted++
			}
			if !errors.Is(err, c.want) {
				t.Errorf("%s: %v, want %v", name, err, c.want)
			}
			if _, err := record.Verify(recs[5], w.trust, testNow); err != nil { // nor the root's check serve it
				t.Fatal(err)
			}
		}
	}
	t.Logf("matrix: D1 forged records of a batch accepted: %d of %d", accepted, tried)
	if accepted > 0 {
		t.Fail()
	}
}

func withSignature(signed []byte, sig [64]byte) []byte {
	return append(bytes.Clone(signed[:len(signed)-64]), sig[:]...)
}

// Whoever keeps a record does not mind in which of its forms it comes.
func TestStoreTakesBothForms(t *testing.T) {
	w, h := newWorld(t, 1, nil), &hands{now: testNow}
	s := w.store(t, h, &counter{})
	alice := w.person(t, "alice", 20)
	single, batch := alice.shareRecord(t, 4, 5), alice.batch(t, 5)[3]
	put(t, s, single, record.OutcomeStored)
	put(t, s, batch, record.OutcomeSame)
	put(t, s, alice.batch(t, 6)[3], record.OutcomeStored)
	put(t, s, alice.shareRecord(t, 4, 6), record.OutcomeSame)
}
