package identity_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/canon"
	"github.com/secp2psip/secp2psip/internal/identity"
)

func testCharter(t testing.TB) identity.Charter {
	return identity.DefaultCharter("lan.example", testKey(t, 1).Public(), testNow)
}

func TestCharterGolden(t *testing.T) {
	c := testCharter(t)
	signed := must(c.Sign(testKey(t, 1)))(t)
	want := strings.TrimSpace(string(must(os.ReadFile("testdata/charter.hex"))(t)))
	if got := hex.EncodeToString(signed); got != want {
		t.Fatalf("charter = %s", got)
	}
	back, err := signed.Verify(testKey(t, 1).Public())
	if err != nil || !reflect.DeepEqual(back, c) {
		t.Fatalf("%+v, %v", back, err)
	}
}

func TestMatrixA8AlteredCharterRefused(t *testing.T) {
	root := testKey(t, 1)
	signed := must(testCharter(t).Sign(root))(t)
	for i := range signed {
		bad := bytes.Clone(signed)
		bad[i] ^= 1 << (i % 8)
		if c, err := identity.SignedCharter(bad).Verify(root.Public()); err == nil {
			t.Fatalf("accepted with byte %d turned: %+v", i, c)
		}
	}
	if _, err := signed.Verify(testKey(t, 2).Public()); !errors.Is(err, identity.ErrUntrusted) {
		t.Error(err)
	}
	if _, err := identity.SignedCharter(make([]byte, 1<<20)).Verify(root.Public()); !errors.Is(err, identity.ErrMalformed) {
		t.Error(err)
	}
	// A delegation by the same key is no charter, whatever it says.
	msg := must(root.Sign("secp2psip/1 delegation", must(canon.Marshal(testCharter(t)))(t)))(t)
	if _, err := identity.SignedCharter(msg).Verify(root.Public()); !errors.Is(err, identity.ErrUntrusted) {
		t.Error(err)
	}
	t.Logf("matrix: A8 altered charters accepted: 0 of %d", len(signed)+3)
}

func TestMatrixA8DowngradedCharterRefused(t *testing.T) {
	cur := testCharter(t)
	cur.Seq = 5
	for name, c := range map[string]struct {
		edit func(*identity.Charter)
		want error
	}{
		"itself":                 {func(*identity.Charter) {}, nil},
		"later":                  {func(c *identity.Charter) { c.Seq++; c.Grace = 5 }, nil},
		"later, other k":         {func(c *identity.Charter) { c.Seq++; c.K = 5 }, identity.ErrFixed},
		"older":                  {func(c *identity.Charter) { c.Seq-- }, identity.ErrDowngrade},
		"same number, other k":   {func(c *identity.Charter) { c.K = 2 }, identity.ErrDowngrade},
		"same number, other way": {func(c *identity.Charter) { c.Paths = []string{"direct"} }, identity.ErrDowngrade},
		"other overlay":          {func(c *identity.Charter) { c.Seq++; c.Overlay = "wan" }, identity.ErrOtherOverlay},
		"other root":             {func(c *identity.Charter) { c.Seq++; c.Root = testKey(t, 9).Public() }, identity.ErrOtherOverlay},
	} {
		next := cur
		c.edit(&next)
		if err := cur.Succeed(next); !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	t.Logf("matrix: A8 downgraded charters accepted: 0 of 6")
}

func TestCharterValidate(t *testing.T) {
	for name, edit := range map[string]func(*identity.Charter){
		"version":           func(c *identity.Charter) { c.Version = 2 },
		"overlay":           func(c *identity.Charter) { c.Overlay = "LAN" },
		"no overlay":        func(c *identity.Charter) { c.Overlay = "" },
		"root":              func(c *identity.Charter) { c.Root = identity.PublicKey{} },
		"seq":               func(c *identity.Charter) { c.Seq = 0 },
		"k = 1":             func(c *identity.Charter) { c.K = 1 },
		"k > n":             func(c *identity.Charter) { c.K = c.N + 1 },
		"n":                 func(c *identity.Charter) { c.N, c.OwnerRecords = 65, 200 },
		"replicas":          func(c *identity.Charter) { c.RegistrationReplicas = 0 },
		"too many replicas": func(c *identity.Charter) { c.RegistrationReplicas = 17 },
		"devices":           func(c *identity.Charter) { c.MaxDevices = 0 },
		"owner's records":   func(c *identity.Charter) { c.OwnerRecords = 19 },
		"owner's bytes":     func(c *identity.Charter) { c.OwnerBytes = 100 },
		"store":             func(c *identity.Charter) { c.StoreBytes = uint64(c.OwnerBytes) - 1 },
		"refresh too late":  func(c *identity.Charter) { c.RegistrationRefresh = c.RegistrationLifetime },
		"registration":      func(c *identity.Charter) { c.RegistrationLifetime = 2 * 86400 },
		"renewal":           func(c *identity.Charter) { c.RenewAfter = c.CertificateLifetime },
		"grace":             func(c *identity.Charter) { c.Grace = 1 << 31 },
		"share":             func(c *identity.Charter) { c.ShareLifetime = 0 },
		"no path":           func(c *identity.Charter) { c.Paths = nil },
		"path twice":        func(c *identity.Charter) { c.Paths = []string{"direct", "direct"} },
		"odd path":          func(c *identity.Charter) { c.Paths = []string{"Direct!"} },
		"empty path":        func(c *identity.Charter) { c.Paths = []string{""} },
	} {
		c := testCharter(t)
		edit(&c)
		if err := c.Validate(); !errors.Is(err, identity.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := c.Sign(testKey(t, 1)); err == nil {
			t.Errorf("%s: signed", name)
		}
	}
	if _, err := testCharter(t).Sign(testKey(t, 2)); !errors.Is(err, identity.ErrUntrusted) {
		t.Error(err)
	}
}

// The attacker has the charter and sends any bytes as one.
func FuzzCharter(f *testing.F) {
	root := testKey(f, 1)
	signed := must(testCharter(f).Sign(root))(f)
	f.Add([]byte(signed))
	f.Add([]byte(must(testCharter(f).Sign(root))(f)[:40]))
	f.Fuzz(func(t *testing.T, data []byte) {
		if c, err := identity.SignedCharter(data).Verify(root.Public()); err == nil && !bytes.Equal(data, signed) {
			t.Fatalf("forged: %+v", c)
		}
		// Unsigned: whatever decodes and is valid has one encoding.
		var c identity.Charter
		if canon.Unmarshal(data, &c) == nil && c.Validate() == nil {
			if again, err := canon.Marshal(c); err != nil || !bytes.Equal(again, data) {
				t.Fatalf("%x re-encodes to %x, %v", data, again, err)
			}
		}
	})
}

func testDelegation(t testing.TB) identity.Delegation {
	return identity.Delegation{
		AOR: "sip:alice@lan.example", Device: testKey(t, 3).Public(), Node: identity.HashID("node"), Part: 2,
		Issued: testNow.UnixMilli(), Expires: testNow.Add(90 * day).UnixMilli(),
	}
}

func TestDelegation(t *testing.T) {
	account := testKey(t, 2)
	d := testDelegation(t)
	signed := must(d.Sign(account))(t)
	want := strings.TrimSpace(string(must(os.ReadFile("testdata/delegation.hex"))(t)))
	if got := hex.EncodeToString(signed); got != want {
		t.Fatalf("delegation = %s", got)
	}
	trust := newOverlay(t, "lan.example", 1).trust
	end := testNow.Add(90*day + 180*day)
	for _, c := range []struct {
		now  time.Time
		want error
	}{
		{testNow, nil}, {time.Time{}, nil}, {end, nil}, {testNow.Add(-identity.ClockSkew), nil},
		{end.Add(time.Second), identity.ErrExpired}, {testNow.Add(-identity.ClockSkew - time.Second), identity.ErrExpired},
	} {
		got, err := signed.Verify(account.Public(), 180*day, c.now)
		got2, err2 := trust.VerifyDelegation(signed, account.Public(), c.now)
		if c.want == nil && (got != d || err != nil || got2 != d || err2 != nil) ||
			c.want != nil && !(errors.Is(err, c.want) && errors.Is(err2, c.want)) {
			t.Errorf("at %s: %v, %v", c.now, err, err2)
		}
	}
	for i := range signed {
		bad := bytes.Clone(signed)
		bad[i] ^= 1 << (i % 8)
		if _, err := identity.SignedDelegation(bad).Verify(account.Public(), 0, testNow); err == nil {
			t.Fatalf("accepted with byte %d turned", i)
		}
	}
	if _, err := trust.VerifyDelegation(signed, testKey(t, 9).Public(), testNow); !errors.Is(err, identity.ErrUntrusted) {
		t.Error("another's delegation:", err)
	}
}

func TestDelegationRefusesToSign(t *testing.T) {
	for name, edit := range map[string]func(*identity.Delegation){
		"no name":       func(d *identity.Delegation) { d.AOR = "" },
		"loose name":    func(d *identity.Delegation) { d.AOR = "alice@lan.example" },
		"no device":     func(d *identity.Delegation) { d.Device = identity.PublicKey{} },
		"ends too soon": func(d *identity.Delegation) { d.Expires = d.Issued },
		"no time":       func(d *identity.Delegation) { d.Issued = 0 },
	} {
		d := testDelegation(t)
		edit(&d)
		if _, err := d.Sign(testKey(t, 2)); !errors.Is(err, identity.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The attacker has a delegation and a bulletin, and sends any bytes as either.
func FuzzDelegation(f *testing.F) {
	account := testKey(f, 2)
	signed := must(testDelegation(f).Sign(account))(f)
	o := newOverlay(f, "lan.example", 3)
	cert := o.account(f, nil)
	bulletin := author{o, f}.byIssuer(identity.Bulletin{Kind: identity.RevokeNode, Subject: identity.KeyDigest{1}})
	for _, seed := range [][]byte{signed, signed[:30], bulletin.Signed, bulletin.Signed[:30]} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := identity.SignedDelegation(data).Verify(account.Public(), 0, testNow)
		if err == nil && !bytes.Equal(data, signed) {
			t.Fatalf("forged: %+v", d)
		}
		for _, chain := range [][][]byte{nil, bulletin.Chain, o.chain(cert)} {
			p, _, err := o.trust.Board().Post(identity.SignedBulletin{Signed: data, Chain: chain}, testNow, testNow)
			if err == nil && !bytes.Equal(data, bulletin.Signed) {
				t.Fatalf("forged: %+v", p.Bulletin)
			}
		}
	})
}
