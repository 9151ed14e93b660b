package identity

import "errors"

// The errors of this package. Every error it returns wraps one of them.
var (
	// ErrMalformed: the bytes or the text do not have the required form.
	ErrMalformed = errors.New("malformed")
	// ErrUntrusted: a certificate or signature does not lead to the overlay's root key.
	ErrUntrusted = errors.New("not trusted")
	// ErrExpired: valid once, or not yet, even with the charter's grace.
	ErrExpired = errors.New("expired or not yet valid")
	// ErrOtherOverlay: belongs to another overlay.
	ErrOtherOverlay = errors.New("belongs to another overlay")
	// ErrRevoked: withdrawn by its issuer or owner.
	ErrRevoked = errors.New("revoked")
)
