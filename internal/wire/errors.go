package wire

import "errors"

// The errors of this package. Every error it returns wraps one of them.
var (
	// ErrMalformed: the bytes are no message, or a field exceeds its bound.
	ErrMalformed = errors.New("malformed message")
	// ErrUnknownType: a message of a type that this version does not know.
	ErrUnknownType = errors.New("unknown message type")
	// ErrTooLarge: longer than MaxMessage.
	ErrTooLarge = errors.New("message too large")
	// ErrForged: a signature, proof of possession or binding does not hold.
	ErrForged = errors.New("signature or proof does not hold")
)
