package identity_test

import (
	"errors"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
)

// A device that was revoked after its account has changed keys does not come back
// with what the earlier key delegated to it; nobody but the key that follows says
// so for the earlier one.
func TestRevokedDeviceHasNoEarlierDelegation(t *testing.T) {
	o := newOverlay(t, "lan.example", 1)
	a := author{o, t}
	aor := mustAOR(t, "alice", o.name)
	old, device, bob := testKey(t, 10), testKey(t, 79), testKey(t, 90)
	rotations, last := rotated(t, aor, 2)
	delegation := must(identity.Delegation{
		AOR: aor.String(), Device: device.Public(), Issued: testNow.UnixMilli(), Expires: testNow.Add(day).UnixMilli(),
	}.Sign(old))(t)
	rotatedCert := o.account(t, func(p *identity.AccountParams) { p.Key, p.Version, p.Rotations = last, 3, rotations })
	bobCert := o.account(t, func(p *identity.AccountParams) {
		p.Key, p.AOR, p.Number, p.Owner = bob.Public(), mustAOR(t, "bob", o.name), "", identity.OwnerTag{2}
	})
	revoke := func(by identity.KeyDigest) identity.Bulletin {
		return identity.Bulletin{Kind: identity.RevokeDevice, Subject: digest(device), Account: by}
	}
	for _, c := range []struct {
		what    string
		post    identity.SignedBulletin
		revoked bool
	}{
		{"by the key that follows", a.byAccount(revoke(last.Digest()), testKey(t, 12), rotatedCert), true},
		{"by another account", a.byAccount(revoke(digest(bob)), bob, bobCert), false},
		{"by the issuer, of the earlier key", a.byIssuer(revoke(digest(old))), true},
	} {
		tr := o.freshTrust(t)
		if _, err := tr.VerifyDelegation(delegation, old.Public(), testNow); err != nil {
			t.Fatal(err)
		}
		if _, _, err := tr.Board().Post(c.post, testNow, testNow); err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		if _, err := tr.VerifyDelegation(delegation, old.Public(), testNow); errors.Is(err, identity.ErrRevoked) != c.revoked {
			t.Errorf("%s: the earlier key's delegation: %v", c.what, err)
		}
		if got := tr.Board().DeviceEverRevoked(testKey(t, 30).Public(), rotations, device.Public()); got != c.revoked {
			t.Errorf("%s: ever revoked: %v", c.what, got)
		}
	}
}

// What an account says of its own device outlives the issuing key that certified
// the account, in whatever order that comes; what it says of nodes does not.
func TestOwnWordOutlivesTheIssuer(t *testing.T) {
	o := newOverlay(t, "lan.example", 1)
	a := author{o, t}
	account, device := testKey(t, 78), testKey(t, 79)
	cert := o.account(t, nil)
	posts := []identity.SignedBulletin{
		a.byAccount(identity.Bulletin{Kind: identity.RevokeDevice, Subject: digest(device), Account: digest(account)}, account, cert),
		a.byAccount(identity.Bulletin{Kind: identity.RevokeNode, Subject: digest(testKey(t, 77))}, account, cert),
		a.byIssuer(identity.Bulletin{Kind: identity.RevokeNode, Subject: digest(testKey(t, 76))}),
		a.sign(identity.Bulletin{Kind: identity.RevokeIssuer, Subject: digest(o.issuerKey)}, o.root),
	}
	var digests []identity.BulletinID
	for _, order := range [][]int{{0, 1, 2, 3}, {3, 2, 1, 0}, {1, 3, 0, 2}} {
		b := o.freshTrust(t).Board()
		for _, i := range order {
			_, _, _ = b.Post(posts[i], testNow, testNow)
		}
		if b.Len() != 2 || !b.DeviceRevoked(digest(account), device.Public()) || !b.IssuerRevoked(o.issuerKey.Public()) {
			t.Errorf("order %v: %d bulletins are left", order, b.Len())
		}
		digests = append(digests, b.Digest())
	}
	if digests[0] != digests[1] || digests[1] != digests[2] {
		t.Error("the order makes a difference")
	}
}

// An issuing key that is to be revoked counts until it is; then its certificates
// are their holder's only.
func TestIssuingKeyIsAnnouncedAndRevoked(t *testing.T) {
	o := newOverlay(t, "lan.example", 1)
	a := author{o, t}
	tr, chain, end := o.freshTrust(t), o.chain(o.node(t, nil)), testNow.Add(time.Hour)
	retire := identity.Bulletin{Kind: identity.RetireIssuer, Subject: digest(o.issuerKey), Issued: testNow.UnixMilli(), Until: end.UnixMilli()}
	if _, _, err := tr.Board().Post(a.byIssuer(retire), testNow, testNow); !errors.Is(err, identity.ErrUntrusted) {
		t.Errorf("an issuing key announces its own end: %v", err)
	}
	if _, _, err := tr.Board().Post(a.sign(retire, o.root), testNow, testNow); err != nil {
		t.Fatal(err)
	}
	said, at, announced := tr.Board().IssuerRetires(o.issuerKey.Public())
	if !announced || !said.Equal(testNow) || !at.Equal(end) || tr.Board().IssuerRevoked(o.issuerKey.Public()) {
		t.Errorf("%v, %v, %v", said, at, announced)
	}
	if _, err := tr.VerifyNode(chain, testNow); err != nil {
		t.Error("while it counts:", err)
	}
	if _, _, err := tr.Board().Post(a.sign(identity.Bulletin{Kind: identity.RevokeIssuer, Subject: digest(o.issuerKey)}, o.root), testNow, testNow); err != nil {
		t.Fatal(err)
	}
	if _, err := tr.VerifyNode(chain, testNow); !errors.Is(err, identity.ErrRevoked) {
		t.Error(err)
	}
	if own, err := tr.VerifyOwn(chain); err != nil || own.Key != testKey(t, 77).Public() {
		t.Errorf("its own: %v, %v", own, err)
	}
	if _, err := tr.VerifyOwn(o.chain(o.account(t, nil))); err == nil {
		t.Error("an account's certificate as a node's own")
	}
}
