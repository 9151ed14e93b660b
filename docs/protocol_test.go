package docs_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"go/ast"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/joinlink"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/wire"
	"github.com/secp2psip/secp2psip/keyshare"
)

func protocol(t *testing.T) string { return read(t, "protocol.md") }

// The bytes on the page are those that the code is held to.
func TestGoldenBytes(t *testing.T) {
	_, last, ok := strings.Cut(protocol(t), "## 22. Golden bytes")
	if !ok {
		t.Fatal("the page has no golden bytes")
	}
	block := strings.Split(last, "```")
	want := strings.TrimSpace(read(t, "../internal/wire/testdata/golden.txt"))
	if len(block) != 3 || strings.TrimSpace(block[1]) != want {
		t.Fatal("the golden bytes on the page are not those of internal/wire/testdata/golden.txt: copy them")
	}
	for line := range strings.Lines(want) {
		name, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		if m, err := wire.Decode(b); err != nil || m.Type().String() != name {
			t.Errorf("%s: %v, %v", name, m, err)
		}
	}
}

// Every message has its number in the table and its fields in a drawing, and
// the table has no others.
func TestEveryMessageIsDocumented(t *testing.T) {
	page := protocol(t)
	row := regexp.MustCompile(`(?m)^\| (\d+) \| ([A-Z]\w+) \|.* (?:general|ring|records|reach|enrolment|evidence|calls) \|$`)
	documented := map[string]bool{}
	for _, m := range row.FindAllStringSubmatch(page, -1) {
		documented[m[1]+" "+m[2]] = true
	}
	for n := range 256 {
		name := wire.Type(n).String()
		if strings.HasPrefix(name, "type ") {
			continue
		}
		key := fmt.Sprintf("%d %s", n, name)
		if !documented[key] {
			t.Errorf("the table has no row for %s", key)
		}
		delete(documented, key)
		if !regexp.MustCompile(`(?m)^` + name + ` +\[`).MatchString(page) {
			t.Errorf("the fields of %s are not drawn", name)
		}
	}
	for key := range documented {
		t.Errorf("the table has %s, which no node knows", key)
	}
}

func TestNumbersAndContextsAreDocumented(t *testing.T) {
	page := protocol(t)
	for _, from := range []struct{ files, names, row string }{
		{"../internal/wire/error.go", "^Code[A-Z]", "\n| %s | "},
		{"../internal/link/errors.go", "^Close[A-Z]", "\n| %s | "},
		{"../internal/record/store.go", "^Outcome[A-Z]", "\n| %s | "},
		{"../internal/record/record.go", "^Kind[A-Z]", "\n| %s | `"},
		{"../internal/link/*.go", "^(alpn|exporter)[A-Z]", "`%s`"},
	} {
		for _, v := range constants(t, from.files, from.names) {
			if row := fmt.Sprintf(from.row, v); !strings.Contains(page, row) {
				t.Errorf("protocol.md has no %q", row)
			}
		}
	}
	for _, files := range []string{"../internal/identity/*.go", "../internal/record/*.go", "../internal/wire/*.go"} {
		inspect(t, files, func(n ast.Node) {
			if s, ok := text(n); ok && strings.HasPrefix(s, "secp2psip/1 ") && !strings.Contains(page, "| `"+s+"` |") {
				t.Errorf("protocol.md: the context %q is missing", s)
			}
		})
	}
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// The worked example of positions is what the code computes.
func TestPositions(t *testing.T) {
	page := protocol(t)
	alice := must[identity.AOR](t)(identity.ParseAOR("sip:alice@lan.example"))
	lines := 0
	for m := range 4 {
		at := record.Position(record.Resource(alice, record.KindRegistration), m, 4)
		lines += strings.Count(page, fmt.Sprintf("registration %d   %s", m, at))
	}
	for _, x := range []int{1, 2, 3, 4, 10} {
		at := record.Position(record.Resource(alice, record.KindShare), x-1, 10)
		offset := identity.Fraction(x-1, 10)
		line := fmt.Sprintf("share %-10d %s", x, at)
		if x > 1 {
			line += "     + " + offset.String()
		}
		lines += strings.Count(page, line)
	}
	if lines != 9 {
		t.Errorf("%d of the 9 positions on the page are right", lines)
	}
}

// product in GF(2⁸) as the page describes it.
func product(a, b byte) (p byte) {
	for range 8 {
		if b&1 != 0 {
			p ^= a
		}
		carry := a & 0x80
		a <<= 1
		if carry != 0 {
			a ^= 0x1b // of 0x11b
		}
		b >>= 1
	}
	return p
}

func inverse(a byte) byte {
	for b := range 256 {
		if product(a, byte(b)) == 1 {
			return byte(b)
		}
	}
	return 0
}

// A polynomial of the page and its values.
func TestPolynomial(t *testing.T) {
	var xs, ys string
	for x := byte(1); x <= 10; x++ {
		y := byte(0)
		for _, c := range []byte{0x01, 0xca, 0x53, 0x8a} {
			y = product(y, x) ^ c
		}
		xs, ys = xs+fmt.Sprintf("%2d ", x), ys+fmt.Sprintf("%02x ", y)
	}
	want := "x  " + strings.TrimSpace(xs) + "\ny   " + strings.TrimSpace(ys)
	page := strings.Join(strings.FieldsFunc(protocol(t), func(r rune) bool { return r == ' ' }), " ")
	if !strings.Contains(page, strings.Join(strings.Fields(xs), " ")+"\ny "+strings.TrimSpace(ys)) {
		t.Errorf("the page should have\n%s", want)
	}
}

// What the code deals is what the page describes: x = i, one polynomial over
// GF(2⁸) with 0x11b for each byte, the key at 0.
func TestSharesAreAsDescribed(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	root, issuing, account := must[identity.PrivateKey](t)(identity.GenerateKey()), must[identity.PrivateKey](t)(identity.GenerateKey()), must[identity.PrivateKey](t)(identity.GenerateKey())
	rootCert := must[[]byte](t)(identity.NewRootCertificate(root, "lan.example", now))
	issuerCert := must[[]byte](t)(identity.IssueIssuerCertificate(root, rootCert, issuing.Public(), now))
	issuer := must[*identity.Issuer](t)(identity.NewIssuer(issuing, issuerCert))
	key := account.Public()
	recs := must[[]record.Record](t)(keyshare.Deal(key, keyshare.Params{
		AOR: must[identity.AOR](t)(identity.ParseAOR("sip:alice@lan.example")), Version: 1, Dealing: 1, K: 4, N: 10,
		Seq: 1, Now: now, Lifetime: time.Hour,
	}, issuer))
	var shares []record.Share
	for i, r := range recs {
		_, s, err := keyshare.Claimed(r)
		if err != nil || int(s.X) != i+1 || s.Digest != sha256.Sum256(key[:]) {
			t.Fatalf("share %d: %+v, %v", i+1, s, err)
		}
		shares = append(shares, s)
	}
	for _, pick := range [][]int{{0, 1, 2, 3}, {9, 4, 7, 2}} {
		for j := range key {
			if got := atZero(shares, pick, j); got != key[j] {
				t.Fatalf("shares %v give byte %d as %02x, not %02x", pick, j, got, key[j])
			}
		}
	}
}

// atZero interpolates byte j of the picked shares at 0 (Lagrange).
func atZero(shares []record.Share, pick []int, j int) (sum byte) {
	for _, i := range pick {
		term := shares[i].Y[j]
		for _, o := range pick {
			if o != i {
				term = product(term, product(shares[o].X, inverse(shares[i].X^shares[o].X)))
			}
		}
		sum ^= term
	}
	return sum
}

// The charter and the join links on the page are readable, and what it says.
func TestExamples(t *testing.T) {
	page := protocol(t)
	charter := strings.TrimSpace(read(t, "../internal/identity/testdata/charter.hex"))
	if !strings.Contains(page, charter) {
		t.Error("the charter on the page is not that of internal/identity/testdata/charter.hex")
	}
	links := regexp.MustCompile(`(?m)^secp2psip://\d\S+$`).FindAllString(page, -1)
	if len(links) != 2 {
		t.Fatalf("%d join links on the page", len(links))
	}
	for i, text := range links {
		l, err := joinlink.Parse(text)
		if err != nil || l.Root[0] != 1 || l.Root[31] != 32 || l.Open() != (i == 1) || i == 0 && (l.Secret[0] != 200 || l.User != "bob") {
			t.Errorf("%s: %+v, %v", text, l, err)
		}
	}
	body := record.Body{AOR: "sip:alice@lan.example", Kind: record.KindShare, Part: 3, Seq: 1000, Time: 1772366400000, Lifetime: 900, Data: []byte{0xaa}}
	signer := must[identity.PrivateKey](t)(identity.NewKeyFromSeed(make([]byte, 32)))
	r := must[record.Record](t)(record.Sign(body, signer, record.Chain{Certificates: [][]byte{{1}}}))
	head := hex.EncodeToString(r.Signed)[:2*(7+2+52)]
	plain := strings.Join(strings.Fields(page), "")
	if !strings.Contains(plain, head) {
		t.Errorf("the record on the page does not begin with %s", head)
	}
	other := body
	other.Part, other.Data = 4, []byte{0xbb}
	batch := must[[]record.Record](t)(record.SignBatch([]record.Body{other, body}, signer, record.Chain{}))
	if head := hex.EncodeToString(batch[1].Signed)[:2*(1+2+52+2+2+32+2)]; !strings.Contains(plain, head) {
		t.Errorf("the batched record on the page does not begin with %s", head)
	}
}
