package identity

import (
	"crypto/ecdh"
	"crypto/sha512"
	"fmt"

	"filippo.io/edwards25519"
)

// The key under which a person is sent sealed things is the account key in the
// other form of its curve (RFC 7748 §4.1), so that nobody has to publish or
// fetch one. Signing and X25519 with one key are proved to be as good as with
// two (Thormarker, "On using the same key pair for Ed25519 and an X25519 based
// KEM", 2021).

// SealingKey returns the X25519 key under which things are sealed for p's
// owner. ErrMalformed for a p that is no point of the curve.
func (p PublicKey) SealingKey() (*ecdh.PublicKey, error) {
	point, err := new(edwards25519.Point).SetBytes(p[:])
	if err != nil {
		return nil, fmt.Errorf("%w: a key that is no point of the curve", ErrMalformed)
	}
	return ecdh.X25519().NewPublicKey(point.BytesMontgomery())
}

// OpeningKey returns the private half of the SealingKey of k's public half:
// the scalar that RFC 8032 §5.1.5 derives from the seed.
func (k PrivateKey) OpeningKey() (*ecdh.PrivateKey, error) {
	if k.IsZero() {
		return nil, fmt.Errorf("%w: no key", ErrMalformed)
	}
	sum := sha512.Sum512(k.Ed25519().Seed())
	return ecdh.X25519().NewPrivateKey(sum[:32])
}
