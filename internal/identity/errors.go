package identity

import "errors"

// The errors of this package. Every error it returns wraps one of them, or one
// of the operating system's.
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
	// ErrBoardFull: no place for another bulletin of that kind.
	ErrBoardFull = errors.New("no place for another bulletin")
	// ErrTooLate: a veto after the recovery has come into force.
	ErrTooLate = errors.New("too late")
	// ErrDowngrade: a charter that is older than the one in force, or differs
	// from it under the same number.
	ErrDowngrade = errors.New("older than the charter in force")
	// ErrFixed: a later charter changes what cannot be changed.
	ErrFixed = errors.New("fixed when the overlay was made")
	// ErrSecret: a private key was about to be written where it could be read.
	ErrSecret = errors.New("a private key is never written here")
	// ErrUnsafeFile: a secret's file or folder that others could read or swap.
	ErrUnsafeFile = errors.New("unsafe file")
)
