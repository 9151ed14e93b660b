package canon

import "errors"

// The errors of this package. Every error it returns wraps one of them.
var (
	// ErrMalformed: not CBOR of the required shape, or not a signed message.
	ErrMalformed = errors.New("malformed encoding")
	// ErrNotCanonical: readable, but not the one encoding of the value.
	ErrNotCanonical = errors.New("not in canonical encoding")
	// ErrTooLarge: above MaxSize.
	ErrTooLarge = errors.New("encoding too large")
	// ErrBadSignature: the signature is not by this key over this context and payload.
	ErrBadSignature = errors.New("bad signature")
	// ErrBadKey: the key is not a usable Ed25519 key.
	ErrBadKey = errors.New("not an Ed25519 key")
)
