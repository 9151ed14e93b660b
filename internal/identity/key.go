package identity

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/secp2psip/secp2psip/internal/canon"
)

// The prefixes of keys in text form.
const (
	publicPrefix  = "p2psip-pub1"
	privatePrefix = "p2psip-key1"
	redacted      = privatePrefix + "(redacted)"
)

const keyAlphabet = "abcdefghijklmnopqrstuvwxyz234567"

// keyText is the alphabet of keys in text: base32 (RFC 4648 §6) in lower case,
// unpadded, over 32 bytes of key and 4 bytes of checksum.
var keyText = base32.NewEncoding(keyAlphabet).WithPadding(base32.NoPadding)

// PublicKey is the public half of an Ed25519 key. Comparable; the zero value
// is no key.
type PublicKey [ed25519.PublicKeySize]byte

// ParsePublicKey reads the text form, "p2psip-pub1" and 58 letters and digits.
func ParsePublicKey(text string) (PublicKey, error) {
	b, err := decodeKey(publicPrefix, text)
	if err != nil {
		return PublicKey{}, err
	}
	return PublicKey(b), nil
}

// String returns the text form.
func (p PublicKey) String() string { return encodeKey(publicPrefix, p[:]) }

// MarshalText implements encoding.TextMarshaler.
func (p PublicKey) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *PublicKey) UnmarshalText(text []byte) error {
	v, err := ParsePublicKey(string(text))
	if err != nil {
		return err
	}
	*p = v
	return nil
}

// IsZero tells whether p is no key.
func (p PublicKey) IsZero() bool { return p == PublicKey{} }

// Equal compares in constant time.
func (p PublicKey) Equal(other PublicKey) bool {
	return subtle.ConstantTimeCompare(p[:], other[:]) == 1
}

// Digest returns SHA-256 of the key.
func (p PublicKey) Digest() [sha256.Size]byte { return sha256.Sum256(p[:]) }

// Fingerprint returns 100 bit of the key's SHA-256 as five groups of four
// letters and digits, for people to compare by voice.
func (p PublicKey) Fingerprint() string {
	sum := p.Digest()
	text := keyText.EncodeToString(sum[:])
	groups := make([]string, 5)
	for i := range groups {
		groups[i] = text[4*i : 4*i+4]
	}
	return strings.Join(groups, "-")
}

// Ed25519 returns the key in the standard library's form.
func (p PublicKey) Ed25519() ed25519.PublicKey { return ed25519.PublicKey(p[:]) }

// Verify checks a message that PrivateKey.Sign made under the same context and
// returns its payload, a part of msg. The error wraps ErrUntrusted or
// ErrMalformed.
func (p PublicKey) Verify(context string, msg []byte) ([]byte, error) {
	payload, err := canon.Verify(p.Ed25519(), context, msg)
	switch {
	case err == nil:
		return payload, nil
	case errors.Is(err, canon.ErrBadSignature):
		return nil, fmt.Errorf("%w: %w", ErrUntrusted, err)
	}
	return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
}

// PrivateKey is an Ed25519 key pair that does not show itself: it formats,
// logs and encodes as nothing. The zero value is no key. It holds a function,
// into which not even a formatted struct around it looks, and which == refuses.
type PrivateKey struct {
	secret func() *[ed25519.PrivateKeySize]byte
}

// GenerateKey returns a new key from the system's random source.
func GenerateKey() (PrivateKey, error) {
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return PrivateKey{}, err
	}
	return newPrivateKey(k), nil
}

// NewKeyFromSeed returns the key that RFC 8032 derives from a seed of 32 bytes.
func NewKeyFromSeed(seed []byte) (PrivateKey, error) {
	if len(seed) != ed25519.SeedSize {
		return PrivateKey{}, fmt.Errorf("%w: a key's seed has %d bytes", ErrMalformed, ed25519.SeedSize)
	}
	return newPrivateKey(ed25519.NewKeyFromSeed(seed)), nil
}

// ParsePrivateKey reads what Secret returned.
func ParsePrivateKey(text string) (PrivateKey, error) {
	seed, err := decodeKey(privatePrefix, text)
	if err != nil {
		return PrivateKey{}, err
	}
	return NewKeyFromSeed(seed)
}

func newPrivateKey(k ed25519.PrivateKey) PrivateKey {
	s := new([ed25519.PrivateKeySize]byte)
	copy(s[:], k)
	return PrivateKey{func() *[ed25519.PrivateKeySize]byte { return s }}
}

// Secret returns the key in text form, "p2psip-key1" and 58 letters and
// digits, for its file and nothing else.
func (k PrivateKey) Secret() string {
	if k.IsZero() {
		return ""
	}
	return encodeKey(privatePrefix, k.Ed25519().Seed())
}

// IsZero tells whether k is no key.
func (k PrivateKey) IsZero() bool { return k.secret == nil }

// Public returns the public half, or the zero key.
func (k PrivateKey) Public() PublicKey {
	if k.IsZero() {
		return PublicKey{}
	}
	return PublicKey(k.secret()[ed25519.SeedSize:])
}

// Equal compares in constant time.
func (k PrivateKey) Equal(other PrivateKey) bool {
	if k.IsZero() || other.IsZero() {
		return k.IsZero() && other.IsZero()
	}
	return subtle.ConstantTimeCompare(k.secret()[:], other.secret()[:]) == 1
}

// Ed25519 returns the key in the standard library's form, or nil.
func (k PrivateKey) Ed25519() ed25519.PrivateKey {
	if k.IsZero() {
		return nil
	}
	return ed25519.PrivateKey(k.secret()[:])
}

// Sign returns payload as a COSE_Sign1 under context; see package canon.
func (k PrivateKey) Sign(context string, payload []byte) ([]byte, error) {
	return canon.Sign(k.Ed25519(), context, payload)
}

// String redacts.
func (k PrivateKey) String() string { return redacted }

// Format redacts under every verb.
func (k PrivateKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText refuses with ErrSecret; Secret is the deliberate way.
func (k PrivateKey) MarshalText() ([]byte, error) { return nil, ErrSecret }

// MarshalJSON refuses with ErrSecret.
func (k PrivateKey) MarshalJSON() ([]byte, error) { return nil, ErrSecret }

// MarshalCBOR refuses with ErrSecret.
func (k PrivateKey) MarshalCBOR() ([]byte, error) { return nil, ErrSecret }

// encodeKey appends to the prefix the key and the first four bytes of
// SHA-256(prefix ‖ key), against slips of the hand.
func encodeKey(prefix string, key []byte) string {
	sum := sha256.Sum256(append([]byte(prefix), key...))
	return prefix + keyText.EncodeToString(append(key[:len(key):len(key)], sum[:4]...))
}

func decodeKey(prefix, text string) ([]byte, error) {
	rest, ok := strings.CutPrefix(text, prefix)
	if !ok {
		return nil, fmt.Errorf("%w: a key of this kind begins with %s", ErrMalformed, prefix)
	}
	b, err := keyText.DecodeString(rest)
	if err != nil || len(b) != ed25519.SeedSize+4 {
		return nil, fmt.Errorf("%w: not a key after %s", ErrMalformed, prefix)
	}
	key := b[:ed25519.SeedSize:ed25519.SeedSize]
	if subtle.ConstantTimeCompare([]byte(encodeKey(prefix, key)), []byte(text)) != 1 {
		return nil, fmt.Errorf("%w: the key's checksum is wrong, so a letter of it is", ErrMalformed)
	}
	return key, nil
}

// OwnerTag stands for a person in node certificates without naming her. The
// issuer makes it; the zero value is nobody's.
type OwnerTag [8]byte

// ParseOwnerTag reads 16 hexadecimal digits in lower case.
func ParseOwnerTag(text string) (OwnerTag, error) {
	var o OwnerTag
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(o) || hex.EncodeToString(b) != text {
		return o, fmt.Errorf("%w: owner tag %q", ErrMalformed, text)
	}
	copy(o[:], b)
	return o, nil
}

// NewOwnerTag returns a random tag.
func NewOwnerTag() OwnerTag {
	var o OwnerTag
	_, _ = rand.Read(o[:]) // never fails
	return o
}

// IsZero tells whether o is nobody's.
func (o OwnerTag) IsZero() bool { return o == OwnerTag{} }

// String returns 16 hexadecimal digits.
func (o OwnerTag) String() string { return hex.EncodeToString(o[:]) }

// MarshalText implements encoding.TextMarshaler.
func (o OwnerTag) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (o *OwnerTag) UnmarshalText(text []byte) error {
	v, err := ParseOwnerTag(string(text))
	if err != nil {
		return err
	}
	*o = v
	return nil
}
