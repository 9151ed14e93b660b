package identity_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
)

// testNow is the time of every test that says no other.
var testNow = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

// overlay is a whole overlay's authority.
type overlay struct {
	name      string
	root      identity.PrivateKey
	rootDER   []byte
	issuer    *identity.Issuer
	issuerKey identity.PrivateKey
	trust     *identity.Trust
}

func testKey(t testing.TB, n byte) identity.PrivateKey {
	t.Helper()
	k, err := identity.NewKeyFromSeed(bytes.Repeat([]byte{n}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// newOverlay makes an overlay with the keys n and n+1.
func newOverlay(t testing.TB, name string, n byte) *overlay {
	t.Helper()
	o := &overlay{name: name, root: testKey(t, n), issuerKey: testKey(t, n+1)}
	o.rootDER = must(identity.NewRootCertificate(o.root, name, testNow))(t)
	der := must(identity.IssueIssuerCertificate(o.root, o.rootDER, o.issuerKey.Public(), testNow))(t)
	o.issuer = must(identity.NewIssuer(o.issuerKey, der))(t)
	o.trust = o.freshTrust(t)
	return o
}

func (o *overlay) freshTrust(t testing.TB) *identity.Trust {
	t.Helper()
	return must(identity.NewTrust(o.rootDER, identity.DefaultCharter(o.name, o.root.Public(), testNow)))(t)
}

func (o *overlay) node(t testing.TB, edit func(*identity.NodeParams)) []byte {
	t.Helper()
	p := identity.NodeParams{
		Key: testKey(t, 77).Public(), ID: identity.HashID("node"), Overlay: o.name, Owner: identity.OwnerTag{1},
		NotBefore: testNow, NotAfter: testNow.Add(90 * day),
	}
	if edit != nil {
		edit(&p)
	}
	return must(o.issuer.IssueNode(p))(t)
}

func (o *overlay) account(t testing.TB, edit func(*identity.AccountParams)) []byte {
	t.Helper()
	p := identity.AccountParams{
		Key: testKey(t, 78).Public(), AOR: mustAOR(t, "alice", o.name), Number: "101", Version: 1,
		Owner: identity.OwnerTag{1}, NotBefore: testNow, NotAfter: testNow.Add(90 * day),
	}
	if edit != nil {
		edit(&p)
	}
	return must(o.issuer.IssueAccount(p))(t)
}

func (o *overlay) chain(leaf []byte) [][]byte { return [][]byte{leaf, o.issuer.Certificate()} }

func mustAOR(t testing.TB, user, overlay string) identity.AOR {
	t.Helper()
	return must(identity.NewAOR(user, overlay))(t)
}

// must takes a call's two results and, given the test, returns the first.
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
