package evidence_test

import (
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/canon"
	"github.com/secp2psip/secp2psip/internal/evidence"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/wire"
)

const overlayName = "lan.example"

// world is an overlay, a member of it and somebody else's key.
type world struct {
	t      testing.TB
	now    time.Time
	issuer *identity.Issuer
	trust  *identity.Trust
	node   identity.NodeID
	key    identity.PrivateKey
	cert   []byte
	other  identity.PrivateKey
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

func newWorld(t testing.TB) *world {
	t.Helper()
	now := time.Now()
	root, issuing := must(identity.GenerateKey())(t), must(identity.GenerateKey())(t)
	rootDER := must(identity.NewRootCertificate(root, overlayName, now))(t)
	issuerDER := must(identity.IssueIssuerCertificate(root, rootDER, issuing.Public(), now))(t)
	w := &world{
		t: t, now: now, issuer: must(identity.NewIssuer(issuing, issuerDER))(t), node: identity.HashID("mallory"),
		trust: must(identity.NewTrust(rootDER, identity.DefaultCharter(overlayName, root.Public(), now)))(t),
		key:   must(identity.GenerateKey())(t), other: must(identity.GenerateKey())(t),
	}
	w.cert = w.certify(w.node, w.key.Public())
	return w
}

func (w *world) certify(id identity.NodeID, key identity.PublicKey) []byte {
	w.t.Helper()
	return must(w.issuer.IssueNode(identity.NodeParams{
		Key: key, ID: id, Overlay: overlayName, Owner: identity.OwnerTag{1}, NotBefore: w.now.Add(-time.Hour), NotAfter: w.now.Add(time.Hour),
	}))(w.t)
}

// said is what the member might honestly sign.
func (w *world) said(edit func(*wire.Statement)) []byte {
	w.t.Helper()
	s := wire.Statement{
		Node: w.node, Certificate: wire.HashCertificate(w.cert), Run: [16]byte{1}, Since: 5, Revision: 9,
		Resource: identity.HashID("r"), Part: 1, Seq: 100, Digest: [8]byte{1}, Time: w.now.UnixMilli(),
	}
	if edit != nil {
		edit(&s)
	}
	return must(wire.SignStatement(s, overlayName, w.key))(w.t)
}

// nothing makes a statement say that nothing is held.
func nothing(s *wire.Statement) { s.Seq, s.Digest = 0, [8]byte{} }

func (w *world) against(kind evidence.Kind, statements ...[]byte) *evidence.Proof {
	return &evidence.Proof{Kind: kind, Node: w.cert, Issuer: w.issuer.Certificate(), Statements: statements}
}

func (w *world) descriptor(seq int64, lifetime uint32) wire.Descriptor {
	w.t.Helper()
	d := wire.Descriptor{ID: w.node, Certificate: wire.HashCertificate(w.cert), Seq: seq, Lifetime: lifetime}
	return must(wire.SignDescriptor(d, overlayName, w.key))(w.t)
}

// runs are three statements of which the first and the last are of one run.
func (w *world) runs() [][]byte {
	a := w.said(nothing)
	b := w.said(func(s *wire.Statement) { s.Run, s.Nonce = [16]byte{2}, evidence.After(a) })
	c := w.said(func(s *wire.Statement) { nothing(s); s.Nonce = evidence.After(b) })
	return [][]byte{a, b, c}
}

func (w *world) collisions() []wire.Descriptor {
	at := w.now.Add(-time.Minute).UnixMilli()
	return []wire.Descriptor{
		w.descriptor(at, 60), w.descriptor(at, 61), w.descriptor(at+1000, 60), w.descriptor(at+1000, 61), w.descriptor(at+2000, 60), w.descriptor(at+2000, 61),
	}
}

// claim is a share record of bob's under a key.
func (w *world) claim(version uint32, key identity.PublicKey) evidence.Claim {
	w.t.Helper()
	data := must(canon.Marshal(record.Share{Version: version, Dealing: 1, X: 1, Y: make([]byte, 32), K: 4, N: 10, Digest: key.Digest(), Owner: identity.OwnerTag{2}}))(w.t)
	r := must(record.Sign(record.Body{AOR: "sip:bob@" + overlayName, Kind: record.KindShare, Part: 1, Seq: 7, Time: w.now.UnixMilli(), Lifetime: 86400, Data: data},
		w.issuer.Key(), record.Chain{Certificates: [][]byte{w.issuer.Certificate()}}))(w.t)
	return evidence.Claim{Record: &r}
}

// proofs are one that holds of each kind.
func (w *world) proofs() map[string]*evidence.Proof {
	return map[string]*evidence.Proof{
		"statements":  w.against(evidence.KindStatements, w.said(nil), w.said(nothing)),
		"runs":        w.against(evidence.KindRuns, w.runs()...),
		"descriptors": {Kind: evidence.KindDescriptors, Node: w.cert, Issuer: w.issuer.Certificate(), Descriptors: w.collisions()},
		"keys":        {Kind: evidence.KindKeys, Issuer: w.issuer.Certificate(), Claims: []evidence.Claim{w.claim(1, w.key.Public()), w.claim(1, w.other.Public())}},
	}
}
