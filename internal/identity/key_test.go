package identity_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/secp2psip/secp2psip/internal/canon"
	"github.com/secp2psip/secp2psip/internal/identity"
)

func TestKeyText(t *testing.T) {
	key := testKey(t, 1)
	const (
		pub = "p2psip-pub1rkeohxlubhyzl7ks3mwtzos5olfgocn7dwkbeg7toseadnapn5oafxpm7q"
		sec = "p2psip-key1aeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeasqsawya"
	)
	if key.Secret() != sec || key.Public().String() != pub {
		t.Fatal(key.Secret(), key.Public())
	}
	back, err := identity.ParsePrivateKey(key.Secret())
	if err != nil || !back.Equal(key) {
		t.Fatal(err)
	}
	if p, err := identity.ParsePublicKey(key.Public().String()); err != nil || !p.Equal(key.Public()) {
		t.Fatal(p, err)
	}
	if _, err := identity.ParsePublicKey(key.Secret()); !errors.Is(err, identity.ErrMalformed) {
		t.Error("a private key read as a public one:", err)
	}
	text := key.Public().String()
	for i := range text {
		for _, c := range []string{"a", "b", "A", "1", ""} {
			if bad := text[:i] + c + text[i+1:]; bad != text {
				if _, err := identity.ParsePublicKey(bad); !errors.Is(err, identity.ErrMalformed) {
					t.Fatalf("accepted %q: %v", bad, err)
				}
			}
		}
	}
}

func TestFingerprint(t *testing.T) {
	a, b := testKey(t, 1).Public().Fingerprint(), testKey(t, 2).Public().Fingerprint()
	if len(a) != 24 || strings.Count(a, "-") != 4 || a == b {
		t.Fatal(a, b)
	}
}

// holder has a key where fmt cannot call its methods.
type holder struct {
	name string
	key  identity.PrivateKey
}

func TestPrivateKeyNeverShows(t *testing.T) {
	key := testKey(t, 0x41)
	seed := strings.Repeat("A", 8)
	h := &holder{"x", key}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%b", "%p", "%c"} {
		for _, v := range []any{key, &key, h, *h, []identity.PrivateKey{key}, map[string]identity.PrivateKey{"k": key}} {
			got := fmt.Sprintf(verb, v)
			for _, leak := range []string{seed, "4141414141", "65 65 65", key.Secret()[20:], "1000001 1000001", "0x41, 0x41"} {
				if strings.Contains(got, leak) {
					t.Errorf("%s of %T shows %q", verb, v, got)
				}
			}
		}
	}
	if _, err := json.Marshal(struct{ K identity.PrivateKey }{key}); !errors.Is(err, identity.ErrSecret) {
		t.Error("JSON:", err)
	}
	if _, err := canon.Marshal(struct{ K identity.PrivateKey }{key}); !errors.Is(err, identity.ErrSecret) {
		t.Error("CBOR:", err)
	}
	if _, err := key.MarshalText(); !errors.Is(err, identity.ErrSecret) {
		t.Error("text:", err)
	}
}

func TestZeroKey(t *testing.T) {
	var k identity.PrivateKey
	if !k.IsZero() || !k.Public().IsZero() || k.Secret() != "" || k.Ed25519() != nil || !k.Equal(k) || k.Equal(testKey(t, 1)) {
		t.Fatal("the zero key is a key")
	}
	if _, err := k.Sign("c", nil); !errors.Is(err, canon.ErrBadKey) {
		t.Fatal(err)
	}
}

func TestSignAndVerify(t *testing.T) {
	key := testKey(t, 1)
	msg := must(key.Sign("c", []byte("payload")))(t)
	if got, err := key.Public().Verify("c", msg); err != nil || string(got) != "payload" {
		t.Fatal(got, err)
	}
	if _, err := testKey(t, 2).Public().Verify("c", msg); !errors.Is(err, identity.ErrUntrusted) {
		t.Fatal(err)
	}
	if _, err := key.Public().Verify("c", msg[1:]); !errors.Is(err, identity.ErrMalformed) {
		t.Fatal(err)
	}
}

func TestOwnerTag(t *testing.T) {
	o := identity.NewOwnerTag()
	if back, err := identity.ParseOwnerTag(o.String()); err != nil || back != o || o.IsZero() || o == identity.NewOwnerTag() {
		t.Fatal(o, back, err)
	}
	for _, bad := range []string{"", "00", "00000000000000AA", "zz00000000000000"} {
		if _, err := identity.ParseOwnerTag(bad); !errors.Is(err, identity.ErrMalformed) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// A person types a key. What is accepted has one text.
func FuzzParseKey(f *testing.F) {
	f.Add(testKey(f, 1).Secret())
	f.Add(testKey(f, 1).Public().String())
	f.Add("p2psip-pub1")
	f.Fuzz(func(t *testing.T, text string) {
		if k, err := identity.ParsePrivateKey(text); err == nil && k.Secret() != text {
			t.Fatalf("%q is also %q", text, k.Secret())
		}
		if p, err := identity.ParsePublicKey(text); err == nil && p.String() != text {
			t.Fatalf("%q is also %q", text, p)
		}
	})
}
