package identity_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
)

func TestNodeCertificate(t *testing.T) {
	o := newOverlay(t, "lan.example", 1)
	der := o.node(t, func(p *identity.NodeParams) { p.Bootstrap = true })
	for _, chain := range [][][]byte{o.chain(der), append(o.chain(der), o.rootDER)} {
		c, err := o.trust.VerifyNode(chain, testNow)
		if err != nil {
			t.Fatal(err)
		}
		if c.ID != identity.HashID("node") || c.Key != testKey(t, 77).Public() || c.Owner != (identity.OwnerTag{1}) ||
			c.Overlay != "lan.example" || !c.Bootstrap || !c.NotAfter.Equal(testNow.Add(90*day)) || !bytes.Equal(c.DER, der) {
			t.Fatalf("%+v", c)
		}
	}
	for _, secret := range []string{"alice", "101@"} {
		if bytes.Contains(der, []byte(secret)) {
			t.Fatalf("a node certificate that says %q", secret)
		}
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil || leaf.URIs[0].String() != "reload://"+identity.HashID("node").String()+"@lan.example" {
		t.Fatal(leaf.URIs, err)
	}
}

func TestAccountCertificate(t *testing.T) {
	o := newOverlay(t, "lan.example", 1)
	for _, user := range []string{"alice", "jürgen", "a%b", "#1", "x.y_z-1", "o'neil", "田中"} {
		aor := mustAOR(t, user, o.name)
		der := o.account(t, func(p *identity.AccountParams) { p.AOR, p.Version = aor, 7 })
		c, err := o.trust.VerifyAccount(o.chain(der), testNow)
		if err != nil {
			t.Fatalf("%s: %v", user, err)
		}
		if c.AOR != aor || c.Number != mustAOR(t, "101", o.name) || c.Version != 7 || c.Key != testKey(t, 78).Public() {
			t.Fatalf("%+v", c)
		}
	}
	der := o.account(t, func(p *identity.AccountParams) { p.Number = "" })
	if c, err := o.trust.VerifyAccount(o.chain(der), testNow); err != nil || !c.Number.IsZero() {
		t.Fatal(c, err)
	}
}

func TestIssueRefuses(t *testing.T) {
	o := newOverlay(t, "lan.example", 1)
	node := identity.NodeParams{
		Key: testKey(t, 9).Public(), Overlay: o.name, Owner: identity.OwnerTag{1}, NotBefore: testNow, NotAfter: testNow.Add(day),
	}
	for name, edit := range map[string]func(*identity.NodeParams){
		"no key":        func(p *identity.NodeParams) { p.Key = identity.PublicKey{} },
		"no owner":      func(p *identity.NodeParams) { p.Owner = identity.OwnerTag{} },
		"other overlay": func(p *identity.NodeParams) { p.Overlay = "wan.example" },
		"no time":       func(p *identity.NodeParams) { p.NotAfter = p.NotBefore },
	} {
		p := node
		edit(&p)
		if _, err := o.issuer.IssueNode(p); err == nil {
			t.Errorf("node certificate with %s", name)
		}
	}
	account := identity.AccountParams{
		Key: testKey(t, 9).Public(), AOR: mustAOR(t, "bob", o.name), Version: 1, Owner: identity.OwnerTag{1},
		NotBefore: testNow, NotAfter: testNow.Add(day),
	}
	for name, edit := range map[string]func(*identity.AccountParams){
		"no name":       func(p *identity.AccountParams) { p.AOR = identity.AOR{} },
		"other overlay": func(p *identity.AccountParams) { p.AOR = mustAOR(t, "bob", "wan.example") },
		"no version":    func(p *identity.AccountParams) { p.Version = 0 },
		"bad number":    func(p *identity.AccountParams) { p.Number = "1 2" },
		"own number":    func(p *identity.AccountParams) { p.Number = "bob" },
	} {
		p := account
		edit(&p)
		if _, err := o.issuer.IssueAccount(p); err == nil {
			t.Errorf("account certificate with %s", name)
		}
	}
	if _, err := identity.NewIssuer(testKey(t, 9), o.issuer.Certificate()); !errors.Is(err, identity.ErrUntrusted) {
		t.Error(err)
	}
	if _, err := identity.NewIssuer(o.root, o.rootDER); !errors.Is(err, identity.ErrMalformed) {
		t.Error("a root certificate makes an issuer:", err)
	}
}

// forge signs any template with any key, as an attacker's own tool would.
func forge(t testing.TB, tmpl x509.Certificate, parentDER []byte, pub crypto.PublicKey, signer identity.PrivateKey) []byte {
	t.Helper()
	parent, err := x509.ParseCertificate(parentDER)
	if err != nil {
		t.Fatal(err)
	}
	parent.PublicKey = nil // so that the tool does not object to another's signature
	if tmpl.SerialNumber == nil {
		tmpl.SerialNumber = big.NewInt(5)
	}
	if tmpl.NotAfter.IsZero() {
		tmpl.NotBefore, tmpl.NotAfter = testNow, testNow.Add(day)
	}
	der, err := x509.CreateCertificate(rand.Reader, &tmpl, parent, pub, signer.Ed25519())
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func uris(texts ...string) (out []*url.URL) {
	for _, text := range texts {
		u, err := url.Parse(text)
		if err != nil {
			panic(err)
		}
		out = append(out, u)
	}
	return out
}

// An attacker with certificates of its own, another overlay's authority and
// any tool to make certificates presents what it likes; a careless issuer
// signs what it should not. None is accepted in any role.
func TestMatrixA1ForgedCertificatesRefused(t *testing.T) {
	o := newOverlay(t, "lan.example", 1)
	other := newOverlay(t, "wan.example", 11)
	twin := newOverlay(t, "lan.example", 21) // same name, other root
	mallory := testKey(t, 66)
	pub := mallory.Public().Ed25519()
	owner := "urn:secp2psip:owner:0100000000000000"
	reload := "reload://" + identity.HashID("victim").String() + "@lan.example"
	leaf := func(edit func(*x509.Certificate)) x509.Certificate {
		c := x509.Certificate{KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true, URIs: uris(owner, reload)}
		if edit != nil {
			edit(&c)
		}
		return c
	}
	byIssuer := func(edit func(*x509.Certificate)) [][]byte {
		return o.chain(forge(t, leaf(edit), o.issuer.Certificate(), pub, o.issuerKey))
	}
	if _, err := o.trust.VerifyNode(byIssuer(nil), testNow); err != nil {
		t.Fatal("the honest form of what is forged below must pass:", err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := x509.Certificate{
		Subject: pkix.Name{Organization: []string{"lan.example"}, CommonName: "issuer"}, URIs: uris("urn:secp2psip:overlay:lan.example"),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
	}
	malloryCA := forge(t, ca, o.rootDER, pub, mallory) // names the root, signed by herself
	ownNode := o.node(t, func(p *identity.NodeParams) { p.Key = mallory.Public() })
	underNode := forge(t, leaf(nil), ownNode, pub, mallory)
	caByIssuer := forge(t, ca, o.issuer.Certificate(), pub, o.issuerKey)

	chains := map[string][][]byte{
		"nothing":                     {},
		"leaf alone":                  {o.node(t, nil)},
		"self-signed":                 {forge(t, leaf(nil), malloryCA, pub, mallory), malloryCA},
		"under a leaf":                {underNode, ownNode},
		"under a leaf, issuer beside": {underNode, o.issuer.Certificate()},
		"four long":                   {underNode, ownNode, o.issuer.Certificate(), o.rootDER},
		"issuer signs an issuer":      {forge(t, leaf(nil), caByIssuer, pub, mallory), caByIssuer},
		"by the root itself":          {forge(t, leaf(nil), o.rootDER, pub, o.root), o.rootDER},
		"other overlay":               other.chain(other.node(t, nil)),
		"other overlay's leaf":        {other.node(t, nil), o.issuer.Certificate()},
		"same name, other root":       twin.chain(twin.node(t, nil)),
		"same name, swapped issuer":   {twin.node(t, nil), o.issuer.Certificate()},
		"foreign third":               append(o.chain(o.node(t, nil)), twin.rootDER),
		"issuer as leaf":              {o.issuer.Certificate(), o.rootDER},
		"ECDSA key":                   o.chain(forge(t, leaf(nil), o.issuer.Certificate(), ec.Public(), o.issuerKey)),
		"two Node-IDs": byIssuer(func(c *x509.Certificate) {
			c.URIs = append(c.URIs, uris("reload://"+identity.HashID("2").String()+"@lan.example")...)
		}),
		"two owners":       byIssuer(func(c *x509.Certificate) { c.URIs = append(c.URIs, uris(owner)...) }),
		"no owner":         byIssuer(func(c *x509.Certificate) { c.URIs = uris(reload) }),
		"node and account": byIssuer(func(c *x509.Certificate) { c.EmailAddresses = []string{"alice@lan.example"} }),
		"node of another overlay": byIssuer(func(c *x509.Certificate) {
			c.URIs = uris(owner, "reload://"+identity.HashID("v").String()+"@wan.example")
		}),
		"Node-ID in capitals": byIssuer(func(c *x509.Certificate) {
			c.URIs = uris(owner, "reload://ABCDEF00000000000000000000000000@lan.example")
		}),
		"short Node-ID":         byIssuer(func(c *x509.Certificate) { c.URIs = uris(owner, "reload://00@lan.example") }),
		"unknown URI":           byIssuer(func(c *x509.Certificate) { c.URIs = append(c.URIs, uris("urn:secp2psip:role:root")...) }),
		"a DNS name":            byIssuer(func(c *x509.Certificate) { c.DNSNames = []string{"lan.example"} }),
		"a subject":             byIssuer(func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: "alice"} }),
		"may sign certificates": byIssuer(func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCertSign }),
		"a CA":                  byIssuer(func(c *x509.Certificate) { c.IsCA, c.KeyUsage = true, c.KeyUsage|x509.KeyUsageCertSign }),
		"unknown critical extension": byIssuer(func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: []int{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}}
		}),
		"two names": byIssuer(func(c *x509.Certificate) {
			c.URIs = uris(owner, "urn:secp2psip:key-version:1")
			c.EmailAddresses = []string{"alice@lan.example", "bob@lan.example", "carol@lan.example"}
		}),
		"name not canonical": byIssuer(func(c *x509.Certificate) {
			c.URIs, c.EmailAddresses = uris(owner, "urn:secp2psip:key-version:1"), []string{"Alice@lan.example"}
		}),
		"name escaped without need": byIssuer(func(c *x509.Certificate) {
			c.URIs, c.EmailAddresses = uris(owner, "urn:secp2psip:key-version:1"), []string{"%61lice@lan.example"}
		}),
		"key version 0": byIssuer(func(c *x509.Certificate) {
			c.URIs, c.EmailAddresses = uris(owner, "urn:secp2psip:key-version:0"), []string{"alice@lan.example"}
		}),
		"bootstrap server with a name": byIssuer(func(c *x509.Certificate) {
			c.URIs = uris(owner, "urn:secp2psip:key-version:1", "urn:secp2psip:role:bootstrap")
			c.EmailAddresses = []string{"alice@lan.example"}
		}),
		"name of another overlay": byIssuer(func(c *x509.Certificate) {
			c.URIs, c.EmailAddresses = uris(owner, "urn:secp2psip:key-version:1"), []string{"alice@wan.example"}
		}),
		"huge": {make([]byte, 1<<20), o.issuer.Certificate()},
	}
	tried, accepted := 0, 0
	for name, chain := range chains {
		tried += 2
		if c, err := o.trust.VerifyNode(chain, testNow); err == nil {
			accepted++
			t.Errorf("%s: accepted as node %s", name, c.ID)
		}
		if c, err := o.trust.VerifyAccount(chain, testNow); err == nil {
			accepted++
			t.Errorf("%s: accepted as account %s", name, c.AOR)
		}
	}
	for name, der := range map[string][]byte{
		"root": o.rootDER, "another's": other.issuer.Certificate(), "twin's": twin.issuer.Certificate(),
		"self-made": malloryCA, "leaf": o.node(t, nil), "issuer's issuer": caByIssuer,
	} {
		if _, err := o.trust.VerifyIssuer(der, testNow); err == nil {
			t.Errorf("%s certificate accepted as the issuer's", name)
		}
	}
	if _, err := o.trust.VerifyNode(o.chain(o.account(t, nil)), testNow); !errors.Is(err, identity.ErrMalformed) {
		t.Error("an account's certificate as a node's:", err)
	}
	if _, err := o.trust.VerifyAccount(o.chain(o.node(t, nil)), testNow); !errors.Is(err, identity.ErrMalformed) {
		t.Error("a node's certificate as an account's:", err)
	}
	t.Logf("matrix: A1 forged chains accepted: %d of %d", accepted, tried)
}

func TestMatrixA1EveryByteOfACertificateCounts(t *testing.T) {
	o := newOverlay(t, "lan.example", 1)
	node, account := o.node(t, nil), o.account(t, nil)
	for i := range node {
		bad := bytes.Clone(node)
		bad[i] ^= 1 << (i % 8)
		if _, err := o.trust.VerifyNode(o.chain(bad), testNow); err == nil {
			t.Fatalf("node certificate accepted with byte %d turned", i)
		}
	}
	for i := range account {
		bad := bytes.Clone(account)
		bad[i] ^= 1 << (i % 8)
		if _, err := o.trust.VerifyAccount(o.chain(bad), testNow); err == nil {
			t.Fatalf("account certificate accepted with byte %d turned", i)
		}
	}
	issuer := o.issuer.Certificate()
	for i := range issuer {
		bad := bytes.Clone(issuer)
		bad[i] ^= 1 << (i % 8)
		if _, err := o.trust.VerifyNode([][]byte{node, bad}, testNow); err == nil {
			t.Fatalf("accepted with byte %d of the issuer's certificate turned", i)
		}
	}
	t.Logf("matrix: A1 certificates with one byte changed accepted: 0 of %d", len(node)+len(account)+len(issuer))
}

func TestMatrixA1ExpiryWithGrace(t *testing.T) {
	o := newOverlay(t, "lan.example", 1)
	chain := o.chain(o.node(t, nil))
	account := o.chain(o.account(t, nil))
	end := testNow.Add(90*day + 180*day)
	for _, c := range []struct {
		now time.Time
		ok  bool
	}{
		{testNow, true},
		{testNow.Add(-identity.ClockSkew), true},
		{testNow.Add(-identity.ClockSkew - time.Second), false},
		{end, true},
		{end.Add(time.Second), false},
		{time.Unix(0, 0), false},
		{time.Time{}, true}, // the time is not known yet
	} {
		_, errNode := o.trust.VerifyNode(chain, c.now)
		_, errAccount := o.trust.VerifyAccount(account, c.now)
		for _, err := range []error{errNode, errAccount} {
			if c.ok && err != nil || !c.ok && !errors.Is(err, identity.ErrExpired) {
				t.Errorf("at %s: %v", c.now, err)
			}
		}
	}
	long := o.chain(o.node(t, func(p *identity.NodeParams) { p.NotAfter = testNow.AddDate(5, 0, 0) }))
	if _, err := o.trust.VerifyNode(long, testNow.AddDate(2, 0, 0)); !errors.Is(err, identity.ErrExpired) {
		t.Error("a leaf outlives its issuer's grace:", err)
	}
	t.Logf("matrix: A1 certificates accepted outside their time and its grace: 0 of 7")
}

// A cached chain must not pass where an uncached one would not.
func TestTrustCacheKeepsIssuersApart(t *testing.T) {
	o := newOverlay(t, "lan.example", 1)
	der := must(identity.IssueIssuerCertificate(o.root, o.rootDER, testKey(t, 50).Public(), testNow))(t)
	leaf := o.node(t, nil)
	if _, err := o.trust.VerifyNode(o.chain(leaf), testNow); err != nil {
		t.Fatal(err)
	}
	if _, err := o.trust.VerifyNode([][]byte{leaf, der}, testNow); !errors.Is(err, identity.ErrUntrusted) {
		t.Fatal("a leaf passes under an issuer that did not sign it:", err)
	}
}

func TestNewTrustRefuses(t *testing.T) {
	o := newOverlay(t, "lan.example", 1)
	other := newOverlay(t, "wan.example", 11)
	charter := identity.DefaultCharter(o.name, o.root.Public(), testNow)
	if _, err := identity.NewTrust(other.rootDER, charter); !errors.Is(err, identity.ErrOtherOverlay) {
		t.Error(err)
	}
	if _, err := identity.NewTrust(o.issuer.Certificate(), charter); !errors.Is(err, identity.ErrMalformed) {
		t.Error(err)
	}
	charter.K = 0
	if _, err := identity.NewTrust(o.rootDER, charter); !errors.Is(err, identity.ErrMalformed) {
		t.Error(err)
	}
}

// goldenChain returns the certificates in testdata: root, issuer, node and
// account of an overlay with the keys 1 and 2, and their trust.
func goldenChain(t testing.TB) (root, issuer, node, account []byte, trust *identity.Trust) {
	t.Helper()
	rest := must(os.ReadFile("testdata/chain.pem"))(t)
	var ders [4][]byte
	for i := range ders {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			t.Fatal("testdata/chain.pem has fewer than four certificates")
		}
		ders[i] = block.Bytes
	}
	charter := identity.DefaultCharter("lan.example", testKey(t, 1).Public(), testNow)
	return ders[0], ders[1], ders[2], ders[3], must(identity.NewTrust(ders[0], charter))(t)
}

// What was issued once must verify for ever.
func TestGoldenChain(t *testing.T) {
	_, issuer, node, account, trust := goldenChain(t)
	n, err := trust.VerifyNode([][]byte{node, issuer}, testNow)
	if err != nil || n.ID != identity.HashID("node") || n.Key != testKey(t, 77).Public() {
		t.Fatal(n, err)
	}
	a, err := trust.VerifyAccount([][]byte{account, issuer}, testNow)
	if err != nil || a.AOR.String() != "sip:alice@lan.example" || a.Number.User() != "101" || a.Key != testKey(t, 78).Public() {
		t.Fatal(a, err)
	}
}

// The attacker knows valid chains and sends any bytes as a certificate. Only
// what the authority signed passes.
func FuzzVerifyCertificate(f *testing.F) {
	root, issuer, node, account, trust := goldenChain(f)
	f.Add(node)
	f.Add(account)
	f.Add(issuer)
	f.Add(root)
	f.Fuzz(func(t *testing.T, der []byte) {
		if _, err := trust.VerifyNode([][]byte{der, issuer}, testNow); err == nil && !bytes.Equal(der, node) {
			t.Fatalf("forged node certificate %x", der)
		}
		if _, err := trust.VerifyAccount([][]byte{der, issuer}, testNow); err == nil && !bytes.Equal(der, account) {
			t.Fatalf("forged account certificate %x", der)
		}
		if _, err := trust.VerifyIssuer(der, testNow); err == nil && !bytes.Equal(der, issuer) {
			t.Fatalf("forged issuing certificate %x", der)
		}
	})
}

func BenchmarkVerifyNode(b *testing.B) {
	o := newOverlay(b, "lan.example", 1)
	chain := o.chain(o.node(b, nil))
	b.Run("cached", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := o.trust.VerifyNode(chain, testNow); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("cold", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := o.freshTrust(b).VerifyNode(chain, testNow); err != nil {
				b.Fatal(err)
			}
		}
	})
}
