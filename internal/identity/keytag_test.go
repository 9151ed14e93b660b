package identity_test

import (
	"strings"
	"testing"

	"github.com/secp2psip/secp2psip/internal/identity"
)

func TestKeyTags(t *testing.T) {
	for n := range byte(50) {
		key := testKey(t, n).Public()
		tag := key.Tag()
		for _, form := range []string{string(tag), key.Fingerprint(), strings.ToUpper(key.Fingerprint()), tag.Digits()} {
			got, err := identity.ParseKeyTag(form)
			if err != nil || got != tag || !got.Is(key) || got.Is(testKey(t, n+1).Public()) {
				t.Fatalf("%s: %q, %v", form, got, err)
			}
		}
	}
	for _, bad := range []string{"", "s23r", strings.Repeat("1", 20), strings.Repeat("9", 31), "+" + strings.Repeat("1", 30), strings.Repeat("1", 32)} {
		if tag, err := identity.ParseKeyTag(bad); err == nil {
			t.Errorf("%q is %q", bad, tag)
		}
	}
}

func TestKeyedAddresses(t *testing.T) {
	bob, key := mustAOR(t, "bob", "lan.example"), testKey(t, 3).Public()
	const uri, dial, digits = "sip:bob@lan.example;key=wyxim75c6m5p4ywv22yw", "bob*wyxim75c6m5p4ywv22yw", "101*0902120280428385133780122037014"
	if got := identity.KeyedURI(bob, key); got != uri {
		t.Errorf("%s", got)
	}
	if got := identity.KeyedDial("bob", key); got != dial {
		t.Errorf("%s", got)
	}
	if got := identity.KeyedDial("101", key); got != digits {
		t.Errorf("%s", got)
	}
	for text, keyed := range map[string]bool{
		uri: true, dial: true, "bob@lan.example" + uri[len("sip:bob@lan.example"):]: true, "sip:" + dial + "@lan.example": true,
		"bob": false, "bob@lan.example": false, "sip:bob@lan.example": false,
	} {
		aor, tag, err := identity.ParseDialled(text, "lan.example")
		if err != nil || aor != bob || tag.Is(key) != keyed || tag.IsZero() == keyed {
			t.Errorf("%s: %s, %q, %v", text, aor, tag, err)
		}
	}
	if name, tag := identity.SplitDialled(digits); name != "101" || !tag.Is(key) {
		t.Errorf("%s, %q", name, tag)
	}
	for _, plain := range []string{"bob*", "*" + string(key.Tag()), "bob*x", "b*b"} {
		if name, tag := identity.SplitDialled(plain); name != plain || !tag.IsZero() {
			t.Errorf("%s: %s, %q", plain, name, tag)
		}
	}
	other := string(testKey(t, 4).Public().Tag())
	for _, bad := range []string{"bob;key=", "bob;key=x", uri + "x", "sip:bob*" + other + "@lan.example;key=" + string(key.Tag()), ""} {
		if _, tag, err := identity.ParseDialled(bad, "lan.example"); err == nil {
			t.Errorf("%q is read, with %q", bad, tag)
		}
	}
}
