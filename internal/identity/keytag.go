package identity

import (
	"fmt"
	"math/big"
	"strings"
)

// KeyTag is the first 100 bits of SHA-256 of an account key: what a fingerprint
// says. With one in the address that is dialled, the address itself says which
// key is right, whatever the directory says. The zero value is none.
type KeyTag string // 20 characters of base32, as a fingerprint without its hyphens

// The forms of a tag in an address.
const (
	tagChars  = 20
	tagDigits = 31 // 2^100 has as many
	tagMark   = "*"
	tagParam  = ";key="
)

// Tag returns the key's.
func (p PublicKey) Tag() KeyTag { return KeyTag(strings.ReplaceAll(p.Fingerprint(), "-", "")) }

// IsZero tells whether it is none.
func (t KeyTag) IsZero() bool { return t == "" }

// Is tells whether it is a key's.
func (t KeyTag) Is(key PublicKey) bool { return t != "" && t == key.Tag() }

// Leads tells whether an account's key is the tag's, or follows it.
func (t KeyTag) Leads(a *AccountCertificate) bool {
	for i := range a.Rotations {
		if t.Is(a.Rotations[i].Old) {
			return true
		}
	}
	return t.Is(a.Key)
}

// Digits returns the tag as 31 decimal digits, for phones that have no letters:
// the 100 bits as one number.
func (t KeyTag) Digits() string {
	n := new(big.Int)
	for _, c := range []byte(t) {
		n.Lsh(n, 5)
		n.Or(n, big.NewInt(int64(strings.IndexByte(keyAlphabet, c))))
	}
	return fmt.Sprintf("%0*s", tagDigits, n.String())
}

// ParseKeyTag reads 20 letters and digits, or 31 digits; hyphens and case do not
// count.
func ParseKeyTag(text string) (KeyTag, error) {
	text = strings.ToLower(strings.ReplaceAll(text, "-", ""))
	if len(text) == tagDigits {
		n, ok := new(big.Int).SetString(text, 10)
		if !ok || n.Sign() < 0 || n.BitLen() > 5*tagChars || strings.ContainsAny(text, "+_") {
			return "", fmt.Errorf("%w: 31 digits that are no key", ErrMalformed)
		}
		out := make([]byte, tagChars)
		for i := range out {
			shift := uint(5 * (tagChars - 1 - i))
			out[i] = keyAlphabet[new(big.Int).And(new(big.Int).Rsh(n, shift), big.NewInt(31)).Int64()]
		}
		return KeyTag(out), nil
	}
	bad := func(r rune) bool { return !strings.ContainsRune(keyAlphabet, r) }
	if len(text) != tagChars || strings.ContainsFunc(text, bad) {
		return "", fmt.Errorf("%w: a key in an address has 20 letters and digits, or 31 digits", ErrMalformed)
	}
	return KeyTag(text), nil
}

// SplitDialled takes the key off what was dialled: "bob*s23r…" is bob and a key,
// and so is "101*0123…". A name with a star and no key behind it is a name.
func SplitDialled(user string) (name string, tag KeyTag) {
	at := strings.LastIndex(user, tagMark)
	if at < 1 {
		return user, ""
	}
	tag, err := ParseKeyTag(user[at+1:])
	if err != nil {
		return user, ""
	}
	return user[:at], tag
}

// ParseDialled reads what a person writes for somebody: "bob", "bob@lan.example",
// "sip:bob@lan.example", each also with "*KEY" behind the user part, or with
// ";key=KEY" at the end.
func ParseDialled(text, overlay string) (aor AOR, tag KeyTag, err error) {
	text, param, found := strings.Cut(text, tagParam)
	if found {
		if tag, err = ParseKeyTag(param); err != nil {
			return aor, "", err
		}
	}
	user, host, hosted := strings.Cut(strings.TrimPrefix(text, "sip:"), "@")
	if !hosted {
		host = overlay
	}
	user, inUser := SplitDialled(user)
	if inUser != "" && tag != "" && inUser != tag {
		return aor, "", fmt.Errorf("%w: two different keys in one address", ErrMalformed)
	}
	if tag == "" {
		tag = inUser
	}
	aor, err = NewAOR(user, host)
	return aor, tag, err
}

// KeyedURI returns the address that certifies itself, for address books.
func KeyedURI(aor AOR, key PublicKey) string { return aor.String() + tagParam + string(key.Tag()) }

// KeyedDial returns the same as something to dial: of a name in letters and
// digits, of a number in digits only.
func KeyedDial(user string, key PublicKey) string {
	if strings.Trim(user, "0123456789") == "" {
		return user + tagMark + key.Tag().Digits()
	}
	return user + tagMark + string(key.Tag())
}
