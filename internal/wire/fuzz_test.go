package wire_test

import (
	"bytes"
	"testing"

	"github.com/secp2psip/secp2psip/internal/canon"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// Threat: any member of the overlay, and before enrolment any stranger, chooses
// these bytes. Two encodings of one message would let a signature or a hash over
// one pass for the other; a field beyond its bound would let one node make
// another spend memory, or put a line of its own into a SIP header.
func FuzzDecode(f *testing.F) {
	for _, m := range samples(f) {
		f.Add(must[[]byte](f)(wire.Encode(m)))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := wire.Decode(b)
		if err != nil {
			return
		}
		again, err := wire.Encode(m)
		if err != nil {
			t.Fatalf("%s decodes and does not encode: %v", m.Type(), err)
		}
		if !bytes.Equal(again, b) {
			t.Fatalf("%s:\n%x encodes as\n%x", m.Type(), b, again)
		}
		if size, err := wire.Size(m); err != nil || size != len(b) {
			t.Fatalf("%s: %d bytes are said to be %d: %v", m.Type(), len(b), size, err)
		}
		if err := withinBounds(m); err != nil {
			t.Fatal(err)
		}
	})
}

// Threat: the bodies inside signatures come from people who may be enrolled and
// hostile. The same properties hold for them.
func FuzzBody(f *testing.F) {
	for i, b := range []any{inviteBody(f), redirectBody(f), textBody(f), textAckBody(f), registerBody(f), renewBody(f), rotateBody(f)} {
		f.Add(uint8(i), must[[]byte](f)(canon.Marshal(b)))
	}
	parsers := []func([]byte) (any, error){
		parser(wire.ParseInviteBody), parser(wire.ParseRedirectBody), parser(wire.ParseTextBody),
		parser(wire.ParseTextAckBody), parser(wire.ParseRegisterBody), parser(wire.ParseRenewBody),
		parser(wire.ParseRotateBody),
	}
	f.Fuzz(func(t *testing.T, kind uint8, b []byte) {
		v, err := parsers[int(kind)%len(parsers)](b)
		if err != nil {
			return
		}
		again, err := canon.Marshal(v)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%T: %x encodes as %x: %v", v, b, again, err)
		}
		if err := withinBounds(v); err != nil {
			t.Fatal(err)
		}
	})
}

func parser[T any](parse func([]byte) (T, error)) func([]byte) (any, error) {
	return func(b []byte) (any, error) {
		v, err := parse(b)
		return &v, err
	}
}
