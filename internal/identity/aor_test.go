package identity_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/secp2psip/secp2psip/internal/canon"
	"github.com/secp2psip/secp2psip/internal/identity"
)

func TestParseAOR(t *testing.T) {
	for in, want := range map[string]string{
		"sip:alice@lan.example":          "sip:alice@lan.example",
		"alice@lan.example":              "sip:alice@lan.example",
		"Alice@LAN.Example":              "sip:alice@lan.example",
		"ＡＬＩＣＥ@lan.example":              "sip:alice@lan.example", // full-width, RFC 8265 §3.3.2
		"ju\u0308rgen@lan":               "sip:j\u00fcrgen@lan",   // NFC
		"101@lan":                        "sip:101@lan",
		"alice.smith-1_x+y@lan":          "sip:alice.smith-1_x+y@lan",
		"alice":                          "",
		"@lan":                           "",
		"alice@":                         "",
		"alice@b@lan":                    "",
		"al ice@lan":                     "",
		"al\x00ice@lan":                  "",
		"alice:secret@lan":               "",
		"alice;x=y@lan":                  "",
		"<alice@lan":                     "",
		"\"a\"@lan":                      "",
		"a/b@lan":                        "",
		"alice@lan..example":             "",
		"alice@-lan":                     "",
		"alice@lan-":                     "",
		"alice@lan_1":                    "",
		"alice@lan:5060":                 "",
		"alice@bücher":                   "",
		"sips:alice@lan":                 "",
		"\xff@lan":                       "",
		"\u200balice@lan":                "", // zero width space
		"a\u202eb@lan":                   "", // right-to-left override
		strings.Repeat("a", 65) + "@lan": "",
		strings.Repeat("a", 64) + "@" + strings.Repeat("b", 64): "sip:" + strings.Repeat("a", 64) + "@" + strings.Repeat("b", 64),
		"a@" + strings.Repeat("b", 65):                          "",
		strings.Repeat("\u00e9", 33) + "@lan":                   "",
	} {
		a, err := identity.ParseAOR(in)
		switch {
		case want == "" && !errors.Is(err, identity.ErrMalformed):
			t.Errorf("%q: %v, %v", in, a, err)
		case want != "" && (err != nil || a.String() != want):
			t.Errorf("%q: %v, %v; want %s", in, a, err, want)
		}
	}
}

func TestAOREncodings(t *testing.T) {
	a := mustAOR(t, "Alice", "lan.example")
	if a.User() != "alice" || a.Overlay() != "lan.example" || a.IsZero() {
		t.Fatal(a)
	}
	for _, v := range []identity.AOR{a, {}} {
		text := must(json.Marshal(v))(t)
		var back identity.AOR
		if err := json.Unmarshal(text, &back); err != nil || back != v {
			t.Fatalf("%s: %v, %v", text, back, err)
		}
		data := must(canon.Marshal(v))(t)
		back = identity.AOR{}
		if err := canon.Unmarshal(data, &back); err != nil || back != v {
			t.Fatalf("%x: %v, %v", data, back, err)
		}
	}
	var b identity.AOR
	for _, text := range []string{"Alice@lan", "alice@lan", "sip:alice@LAN", "sip:"} {
		if err := b.UnmarshalText([]byte(text)); !errors.Is(err, identity.ErrMalformed) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Whatever anyone writes as a name: its canonical form is one, and stays.
func FuzzParseAOR(f *testing.F) {
	for _, s := range []string{"sip:alice@lan.example", "ＡＬＩＣＥ@lan", "ju\u0308rgen@lan", "101@x", "@", "\u03a3\u03c2@lan", "a%b@c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := identity.ParseAOR(text)
		if err != nil {
			return
		}
		b, err := identity.ParseAOR(a.String())
		if err != nil || b != a {
			t.Fatalf("%q gives %q, which gives %q, %v", text, a, b, err)
		}
		if len(a.User()) > identity.MaxUser || len(a.Overlay()) > identity.MaxOverlay || strings.ContainsAny(a.User(), "@ \x00") {
			t.Fatalf("%q gives %q", text, a)
		}
	})
}
