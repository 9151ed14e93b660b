package evidence_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/evidence"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// Whoever wants an honest member evicted has all that it ever signed, and may
// sign what it likes as somebody else. No proof comes of it; nor of a real one
// of which a byte is changed.
func TestMatrixE2ProofsAreProofs(t *testing.T) {
	w := newWorld(t)
	tried, accepted := 0, 0
	for name, p := range w.proofs() {
		f, err := p.Verify(w.trust, w.now)
		if err != nil || name != f.Kind.String() || f.Detail == "" || (name == "keys") == (f.Node == w.node) {
			t.Fatalf("%s: %+v, %v", name, f, err)
		}
		encoded := must(p.Encode())(t)
		for i := len(name) % 4; i < len(encoded); i += 4 { // a quarter of them: each costs signatures
			bad := bytes.Clone(encoded)
			bad[i] ^= 1 << (i % 8)
			tried++
			q, err := evidence.Decode(bad)
			if err != nil {
				continue
			}
			if g, err := q.Verify(w.trust, w.now); err == nil && (g.Node != f.Node || g.AOR != f.AOR) {
				accepted++
				t.Errorf("%s: byte %d changed accuses %+v", name, i, g)
			} else if err == nil && (name == "statements" || name == "runs") {
				accepted++
				t.Errorf("%s: accepted with byte %d changed", name, i)
			}
		}
	}
	for name, p := range w.honest() {
		tried++
		if f, err := p.Verify(w.trust, w.now); err == nil {
			accepted++
			t.Errorf("%s: proves %+v", name, f)
		}
	}
	t.Logf("matrix: E2 made-up or altered proofs that accuse anybody: %d of %d", accepted, tried)
}

// honest are what an accuser can make of an honest member's words.
func (w *world) honest() map[string]*evidence.Proof {
	statement := func(edits ...func(*wire.Statement)) [][]byte {
		var out [][]byte
		for _, e := range edits {
			out = append(out, w.said(e))
		}
		return out
	}
	of := func(kind evidence.Kind, statements [][]byte) *evidence.Proof { return w.against(kind, statements...) }
	forged := w.against(evidence.KindStatements, w.said(nil), must(wire.SignStatement(wire.Statement{
		Node: w.node, Run: [16]byte{1}, Since: 5, Revision: 9, Resource: identity.HashID("r"), Part: 1, Time: w.now.UnixMilli(),
	}, overlayName, w.other))(w.t))
	foreign := *forged
	foreign.Node = w.certify(identity.HashID("accuser"), w.other.Public())
	descriptors := func(edit func([]wire.Descriptor) []wire.Descriptor) *evidence.Proof {
		return &evidence.Proof{Kind: evidence.KindDescriptors, Node: w.cert, Issuer: w.issuer.Certificate(), Descriptors: edit(w.collisions())}
	}
	runs := w.runs()
	return map[string]*evidence.Proof{
		"nothing":             {},
		"no certificate":      {Kind: evidence.KindStatements, Statements: statement(nil, nothing)},
		"the same twice":      of(evidence.KindStatements, statement(nil, nil)),
		"one statement":       of(evidence.KindStatements, statement(nil)),
		"stored in between":   of(evidence.KindStatements, statement(func(s *wire.Statement) { nothing(s); s.Since, s.Revision = 1, 4 }, nil)),
		"dropped in between":  of(evidence.KindStatements, statement(nil, func(s *wire.Statement) { nothing(s); s.Since, s.Revision = 10, 12 })),
		"replaced in between": of(evidence.KindStatements, statement(nil, func(s *wire.Statement) { s.Seq, s.Since, s.Revision = 200, 10, 12 })),
		"after a restart":     of(evidence.KindStatements, statement(nil, func(s *wire.Statement) { nothing(s); s.Run = [16]byte{2} })),
		"of another record":   of(evidence.KindStatements, statement(nil, func(s *wire.Statement) { nothing(s); s.Part = 2 })),
		"of long ago": of(evidence.KindStatements, statement(func(s *wire.Statement) { s.Time -= (8 * 24 * time.Hour).Milliseconds() },
			func(s *wire.Statement) { nothing(s); s.Time -= (8 * 24 * time.Hour).Milliseconds() })),
		"of tomorrow":          of(evidence.KindStatements, statement(nil, func(s *wire.Statement) { nothing(s); s.Time += (24 * time.Hour).Milliseconds() })),
		"signed by another":    forged,
		"another's own":        &foreign,
		"two runs":             of(evidence.KindRuns, runs[:2]),
		"runs in other order":  of(evidence.KindRuns, [][]byte{runs[1], runs[0], runs[2]}),
		"one run":              of(evidence.KindRuns, [][]byte{runs[0], runs[2], runs[0]}),
		"a restart":            of(evidence.KindRuns, [][]byte{runs[0], runs[1], w.said(func(s *wire.Statement) { s.Run, s.Nonce = [16]byte{3}, evidence.After(runs[1]) })}),
		"two collisions":       descriptors(func(d []wire.Descriptor) []wire.Descriptor { return d[:4] }),
		"one collision thrice": descriptors(func(d []wire.Descriptor) []wire.Descriptor { return append(append(d[:2:2], d[:2]...), d[:2]...) }),
		"equal descriptors":    descriptors(func(d []wire.Descriptor) []wire.Descriptor { d[1] = d[0]; return d }),
		"collisions of a day": descriptors(func(d []wire.Descriptor) []wire.Descriptor {
			at := w.now.Add(-24 * time.Hour).UnixMilli()
			d[0], d[1] = w.descriptor(at, 60), w.descriptor(at, 61)
			return d
		}),
		"a renewed certificate": descriptors(func(d []wire.Descriptor) []wire.Descriptor {
			for i := 0; i < len(d); i += 2 {
				d[i+1] = d[i]
				d[i+1].Certificate = wire.CertHash{9}
				d[i+1] = must(wire.SignDescriptor(d[i+1], overlayName, w.key))(w.t)
			}
			return d
		}),
		"one key twice":   {Kind: evidence.KindKeys, Issuer: w.issuer.Certificate(), Claims: []evidence.Claim{w.claim(1, w.key.Public()), w.claim(1, w.key.Public())}},
		"another version": {Kind: evidence.KindKeys, Issuer: w.issuer.Certificate(), Claims: []evidence.Claim{w.claim(1, w.key.Public()), w.claim(2, w.other.Public())}},
		"no claims":       {Kind: evidence.KindKeys, Issuer: w.issuer.Certificate(), Claims: []evidence.Claim{{}, {}}},
		"no such kind":    {Kind: 9, Node: w.cert, Issuer: w.issuer.Certificate()},
	}
}

// Whatever decodes encodes to the same bytes and verifies or not without a
// crash; what verifies names a culprit.
func FuzzProof(f *testing.F) {
	w := newWorld(f)
	for _, p := range w.proofs() {
		f.Add(must(p.Encode())(f))
	}
	f.Add([]byte{0x86})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := evidence.Decode(b)
		if err != nil {
			if !errors.Is(err, evidence.ErrNoProof) {
				t.Fatal(err)
			}
			return
		}
		if back := must(p.Encode())(t); !bytes.Equal(back, b) {
			t.Fatalf("%x encodes to %x", b, back)
		}
		if got, err := p.Verify(w.trust, w.now); err == nil && got.Node != w.node && got.AOR == "" {
			t.Fatalf("%+v", got)
		}
	})
}
