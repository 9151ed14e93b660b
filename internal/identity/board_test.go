package identity_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
)

// author makes bulletins of an overlay for tests.
type author struct {
	*overlay
	t testing.TB
}

func (a author) sign(b identity.Bulletin, key identity.PrivateKey, chain ...[]byte) identity.SignedBulletin {
	a.t.Helper()
	b.Overlay = a.name
	if b.Issued == 0 {
		b.Issued = testNow.UnixMilli()
	}
	if b.Until == 0 {
		b.Until = b.Issued + (300 * day).Milliseconds()
	}
	return must(identity.SignBulletin(b, key, chain...))(a.t)
}

func (a author) byIssuer(b identity.Bulletin) identity.SignedBulletin {
	a.t.Helper()
	return a.sign(b, a.issuerKey, a.issuer.Certificate())
}

func (a author) byAccount(b identity.Bulletin, key identity.PrivateKey, cert []byte) identity.SignedBulletin {
	a.t.Helper()
	return a.sign(b, key, cert, a.issuer.Certificate())
}

func digest(k identity.PrivateKey) identity.KeyDigest { return k.Public().Digest() }

func TestRevokedKeysAreRefused(t *testing.T) {
	o := newOverlay(t, "lan.example", 1)
	a := author{o, t}
	alice := mustAOR(t, "alice", o.name)
	account, node, device := testKey(t, 78), testKey(t, 77), testKey(t, 79)
	nodeChain, accountChain := o.chain(o.node(t, nil)), o.chain(o.account(t, nil))
	delegation := must(identity.Delegation{
		AOR: alice.String(), Device: device.Public(), Issued: testNow.UnixMilli(), Expires: testNow.Add(day).UnixMilli(),
	}.Sign(account))(t)
	checks := map[string]func(tr *identity.Trust) error{
		"node":    func(tr *identity.Trust) error { _, err := tr.VerifyNode(nodeChain, testNow); return err },
		"account": func(tr *identity.Trust) error { _, err := tr.VerifyAccount(accountChain, testNow); return err },
		"issuer":  func(tr *identity.Trust) error { _, err := tr.VerifyIssuer(o.issuer.Certificate(), testNow); return err },
		"delegation": func(tr *identity.Trust) error {
			_, err := tr.VerifyDelegation(delegation, account.Public(), testNow)
			return err
		},
		"name": func(tr *identity.Trust) error { return tr.Board().CheckName(alice, digest(account), testNow) },
	}
	for _, c := range []struct {
		what string
		post identity.SignedBulletin
		gone []string
	}{
		{"node by the issuer", a.byIssuer(identity.Bulletin{Kind: identity.RevokeNode, Subject: digest(node)}), []string{"node"}},
		{"node by its owner's account", a.byAccount(identity.Bulletin{Kind: identity.RevokeNode, Subject: digest(node)}, account, accountChain[0]), []string{"node"}},
		{"device by the issuer", a.byIssuer(identity.Bulletin{Kind: identity.RevokeDevice, Subject: digest(device), Account: digest(account)}), []string{"delegation"}},
		{"device by its account", a.byAccount(identity.Bulletin{Kind: identity.RevokeDevice, Subject: digest(device), Account: digest(account)}, account, accountChain[0]), []string{"delegation"}},
		{"account", a.byIssuer(identity.Bulletin{Kind: identity.RevokeAccount, Subject: digest(account), Account: digest(account), Name: identity.NameTag(alice)}), []string{"account", "name"}},
		{"issuer", a.sign(identity.Bulletin{Kind: identity.RevokeIssuer, Subject: digest(o.issuerKey)}, o.root), []string{"issuer", "node", "account"}},
	} {
		tr := o.freshTrust(t)
		for name, check := range checks {
			if err := check(tr); err != nil {
				t.Fatalf("%s before: %s: %v", c.what, name, err)
			}
		}
		if _, fresh, err := tr.Board().Post(c.post, testNow, testNow); err != nil || !fresh {
			t.Fatalf("%s: %v, %v", c.what, fresh, err)
		}
		for name, check := range checks {
			want := false
			for _, g := range c.gone {
				want = want || g == name
			}
			if err := check(tr); errors.Is(err, identity.ErrRevoked) != want || !want && err != nil {
				t.Errorf("%s: %s: %v, to be revoked: %v", c.what, name, err, want)
			}
		}
	}
}

// TestMatrixA7StrangersCannotRevoke: whoever is not entitled revokes nobody,
// whatever it signs; nor does a bulletin that was altered, is over, comes from
// the future or belongs to another overlay.
func TestMatrixA7StrangersCannotRevoke(t *testing.T) {
	o, other := newOverlay(t, "lan.example", 1), newOverlay(t, "lan.example", 5)
	a := author{o, t}
	alice, bob := testKey(t, 78), testKey(t, 90)
	bobCert := o.account(t, func(p *identity.AccountParams) {
		p.Key, p.AOR, p.Number, p.Owner = bob.Public(), mustAOR(t, "bob", o.name), "", identity.OwnerTag{2}
	})
	node := identity.Bulletin{Kind: identity.RevokeNode, Subject: digest(testKey(t, 77))}
	account := identity.Bulletin{Kind: identity.RevokeAccount, Subject: digest(alice), Account: digest(alice), Name: identity.NameTag(mustAOR(t, "alice", o.name))}
	device := identity.Bulletin{Kind: identity.RevokeDevice, Subject: digest(testKey(t, 79)), Account: digest(alice)}
	issuer := identity.Bulletin{Kind: identity.RevokeIssuer, Subject: digest(o.issuerKey)}
	veto := identity.Bulletin{Kind: identity.Veto, Subject: identity.KeyDigest{1}, Account: digest(alice), Name: account.Name}
	with := func(b identity.Bulletin, issued, until time.Duration) identity.Bulletin {
		b.Issued, b.Until = testNow.Add(issued).UnixMilli(), testNow.Add(until).UnixMilli()
		return b
	}
	foreign := author{newOverlay(t, "wan.example", 1), t}
	attacks := map[string]identity.SignedBulletin{
		"account by another account":    a.byAccount(account, bob, bobCert),
		"device by another account":     a.byAccount(device, bob, bobCert),
		"veto by another account":       a.byAccount(veto, bob, bobCert),
		"issuer by the issuer":          a.byIssuer(issuer),
		"issuer by an account":          a.byAccount(issuer, bob, bobCert),
		"recovery by an account":        a.byAccount(identity.Bulletin{Kind: identity.Recovery, Subject: digest(bob), Account: digest(alice), Name: account.Name}, bob, bobCert),
		"account by the root":           a.sign(account, o.root),
		"node by another root":          author{other, t}.byIssuer(node),
		"issuer by another root":        a.sign(issuer, other.root),
		"account without certificate":   a.sign(account, alice),
		"another's signature":           a.sign(account, bob, o.issuer.Certificate()),
		"another overlay's":             foreign.byIssuer(node),
		"over":                          a.byIssuer(with(node, -10*day, -day)),
		"of the future":                 a.byIssuer(with(node, day, 2*day)),
		"after the issuer's own end":    a.byIssuer(with(node, 3*366*day, 3*366*day+time.Hour)),
		"longer than anything can last": a.rawLong(node),
	}
	tr := o.freshTrust(t)
	good := a.byIssuer(node)
	for i := range good.Signed {
		bad := identity.SignedBulletin{Signed: bytes.Clone(good.Signed), Chain: good.Chain}
		bad.Signed[i] ^= 1
		attacks[fmt.Sprintf("byte %d altered", i)] = bad
	}
	for what, s := range attacks {
		if _, _, err := tr.Board().Post(s, testNow, testNow); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
	// A revocation of a node by somebody else's account is on the board and does nothing.
	if _, _, err := tr.Board().Post(a.byAccount(node, bob, bobCert), testNow, testNow); err != nil {
		t.Fatal(err)
	}
	if _, err := tr.VerifyNode(o.chain(o.node(t, nil)), testNow); err != nil {
		t.Errorf("a node is refused because a stranger says so: %v", err)
	}
	if n := tr.Board().Len(); n != 1 {
		t.Errorf("%d bulletins on the board", n)
	}
	t.Logf("matrix: A7 revocations by who may not: 0 of %d count", len(attacks)+1)
}

// rawLong is a bulletin that SignBulletin refuses to make.
func (a author) rawLong(b identity.Bulletin) identity.SignedBulletin {
	s := a.byIssuer(b)
	return identity.SignedBulletin{Signed: append(bytes.Clone(s.Signed), 0), Chain: s.Chain}
}

// Boards become equal whatever order bulletins come in, and accounts cannot
// fill them.
func TestBoardBoundsAndOrder(t *testing.T) {
	o := newOverlay(t, "lan.example", 1)
	a := author{o, t}
	alice, cert := testKey(t, 78), o.account(t, nil)
	var all []identity.SignedBulletin
	for i := range 40 {
		all = append(all, a.byAccount(identity.Bulletin{
			Kind: identity.RevokeDevice, Subject: identity.KeyDigest{byte(i), 1}, Account: digest(alice), Issued: testNow.Add(time.Duration(i) * time.Minute).UnixMilli(),
		}, alice, cert))
	}
	b := o.freshTrust(t).Board()
	refused := 0
	for _, s := range all {
		if _, _, err := b.Post(s, testNow, testNow.Add(time.Hour)); errors.Is(err, identity.ErrBoardFull) {
			refused++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if b.Len() != identity.MaxPerAccount || refused != 40-identity.MaxPerAccount {
		t.Errorf("%d on the board, %d refused", b.Len(), refused)
	}
	gone := a.byIssuer(identity.Bulletin{
		Kind: identity.RevokeAccount, Subject: digest(alice), Account: digest(alice), Name: identity.NameTag(mustAOR(t, "alice", o.name)),
		Issued: testNow.Add(10 * time.Minute).UnixMilli(),
	})
	orders := [][]identity.SignedBulletin{append([]identity.SignedBulletin{gone}, all[:20]...), append(all[:20:20], gone)}
	var digests []identity.BulletinID
	for _, order := range orders {
		b := o.freshTrust(t).Board()
		for _, s := range order {
			_, _, _ = b.Post(s, testNow, testNow.Add(time.Hour))
		}
		if b.Len() != 12 { // what the account said up to its own revocation, and that
			t.Errorf("%d bulletins are left", b.Len())
		}
		digests = append(digests, b.Digest())
		if pruned := b.Prune(testNow.Add(301 * day)); len(pruned) != 12 || b.Len() != 0 || b.Digest() != (identity.BulletinID{}) {
			t.Errorf("%d pruned, %d left", len(pruned), b.Len())
		}
	}
	if digests[0] != digests[1] {
		t.Error("the order in which bulletins come makes a difference")
	}
}

// TestMatrixA2RecoveryIsPublicForADay: the operator's new key for a name counts
// nowhere before everybody could see it for 24 hours, whatever date it bears,
// and never where the old key's owner objects in time.
func TestMatrixA2RecoveryIsPublicForADay(t *testing.T) {
	o := newOverlay(t, "lan.example", 1)
	a := author{o, t}
	base := testNow.Add(72 * time.Hour)
	aor, old, fresh := mustAOR(t, "alice", o.name), testKey(t, 78), testKey(t, 80)
	cert := o.account(t, nil)
	recovery := identity.Bulletin{Kind: identity.Recovery, Subject: digest(fresh), Account: digest(old), Name: identity.NameTag(aor)}
	revoke := identity.Bulletin{Kind: identity.RevokeAccount, Subject: digest(old), Account: digest(old), Name: recovery.Name, Issued: base.Add(25 * time.Hour).UnixMilli()}
	for _, c := range []struct {
		what    string
		issued  time.Duration // of the recovery; it is seen at testNow
		veto    time.Duration // seen then; 0 = none
		at      time.Duration
		allowed bool
	}{
		{"too early", 0, 0, 23*time.Hour + 59*time.Minute, false},
		{"after a day", 0, 0, 24 * time.Hour, true},
		{"dated back", -48 * time.Hour, 0, 23 * time.Hour, false},
		{"dated back, after a day in public", -48 * time.Hour, 0, 24 * time.Hour, true},
		{"vetoed", 0, 20 * time.Hour, 30 * time.Hour, false},
		{"vetoed too late", 0, 26 * time.Hour, 30 * time.Hour, true},
	} {
		b := o.freshTrust(t).Board()
		post := func(s identity.SignedBulletin, at time.Duration) error {
			_, _, err := b.Post(s, base.Add(at), base.Add(30*time.Hour))
			return err
		}
		r := recovery
		r.Issued = base.Add(c.issued).UnixMilli()
		signed := a.byIssuer(r)
		if err := post(signed, 0); err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		if c.veto != 0 {
			veto := identity.Bulletin{Kind: identity.Veto, Subject: identity.KeyDigest(signed.ID()), Account: digest(old), Name: recovery.Name, Issued: base.Add(c.veto).UnixMilli()}
			if err := post(a.byAccount(veto, old, cert), c.veto); errors.Is(err, identity.ErrTooLate) != (c.veto > 24*time.Hour) {
				t.Fatalf("%s: %v", c.what, err)
			}
		}
		if err := post(a.byIssuer(revoke), 25*time.Hour); err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		now := base.Add(c.at)
		if err := b.CheckName(aor, digest(fresh), now); (err == nil) != c.allowed {
			t.Errorf("%s: the new key: %v", c.what, err)
		}
		if got := b.Recovered(aor, digest(old), digest(fresh), now); got != c.allowed {
			t.Errorf("%s: recovered: %v", c.what, got)
		}
		if err := b.CheckName(aor, digest(old), now); !errors.Is(err, identity.ErrRevoked) {
			t.Errorf("%s: the old key: %v", c.what, err)
		}
		if _, revoked := b.RevokedName(aor, now); revoked == c.allowed {
			t.Errorf("%s: the name is revoked: %v", c.what, revoked)
		}
	}
}
