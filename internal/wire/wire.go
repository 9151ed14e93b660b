package wire

import (
	"fmt"
	"slices"

	"github.com/secp2psip/secp2psip/internal/canon"
)

// MaxMessage bounds an encoded message, in bytes.
const MaxMessage = 64 << 10

// Message is one of this package's messages, always used by pointer. The
// messages themselves are plain values and hold no resources.
type Message interface {
	// Type returns the number that stands before the body.
	Type() Type
	// check returns an error that wraps ErrMalformed where a field exceeds
	// its bound.
	check() error
}

// Encode returns m's bytes. It fails where Decode would refuse them: with
// ErrMalformed or ErrTooLarge.
func Encode(m Message) ([]byte, error) { return Append(nil, m) }

// Append appends m's bytes to dst. Errors as Encode's.
func Append(dst []byte, m Message) ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("encode %s: %w", m.Type(), err)
	}
	const usual = 256 // bytes: most messages fit
	out := appendType(append(slices.Grow(dst, usual), headPair), m.Type())
	out, err := canon.Append(out, m)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w: %w", m.Type(), ErrMalformed, err)
	}
	if size := len(out) - len(dst); size > MaxMessage {
		return nil, fmt.Errorf("encode %s: %w: %d bytes", m.Type(), ErrTooLarge, size)
	}
	return out, nil
}

// Decode reads one message that fills b. It returns ErrTooLarge, ErrUnknownType
// or ErrMalformed, and never keeps b.
func Decode(b []byte) (Message, error) {
	if len(b) > MaxMessage {
		return nil, fmt.Errorf("decode: %w: %d bytes", ErrTooLarge, len(b))
	}
	if len(b) == 0 || b[0] != headPair {
		return nil, fmt.Errorf("decode: %w: not an array of type and body", ErrMalformed)
	}
	t, body, err := readType(b[1:])
	if err != nil {
		return nil, err
	}
	m := newMessage(t)
	if m == nil {
		return nil, fmt.Errorf("decode: %w: %d", ErrUnknownType, uint8(t))
	}
	if err := canon.Unmarshal(body, m); err != nil {
		return nil, fmt.Errorf("decode %s: %w: %w", t, ErrMalformed, err)
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("decode %s: %w", t, err)
	}
	return m, nil
}

// HeadLen is how many bytes tell the type of a message.
const HeadLen = 3

// TypeOf returns the type of a message of which b is the beginning, 0 where b
// begins none.
func TypeOf(b []byte) Type {
	if len(b) == 0 || b[0] != headPair {
		return 0
	}
	t, _, err := readType(b[1:])
	if err != nil {
		return 0
	}
	return t
}

// CBOR heads (RFC 8949 §3): an array of two items; an unsigned integer in the
// byte that follows, which must not be below 24.
const (
	headPair  = 0x82
	headUint8 = 0x18
	maxInline = 23
)

func appendType(b []byte, t Type) []byte {
	if t <= maxInline {
		return append(b, byte(t))
	}
	return append(b, headUint8, byte(t))
}

func readType(b []byte) (t Type, rest []byte, err error) {
	switch {
	case len(b) >= 1 && b[0] <= maxInline:
		return Type(b[0]), b[1:], nil
	case len(b) >= 2 && b[0] == headUint8 && b[1] > maxInline:
		return Type(b[1]), b[2:], nil
	}
	return 0, nil, fmt.Errorf("decode: %w: no message type", ErrMalformed)
}
