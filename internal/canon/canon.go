// Package canon gives every value one encoding and every signature one form.
//
// Values are deterministic CBOR (RFC 8949 §4.2.1): definite lengths, shortest
// integers, sorted map keys. Structs that travel are arrays (`cbor:",toarray"`),
// fixed byte arrays are byte strings, nil slices encode as empty ones, and
// netip.AddrPort is a byte string. Whatever Unmarshal accepts re-encodes to
// the same bytes; so a hash or a signature over the bytes is one over the
// value.
//
// A signed message is a COSE_Sign1 (RFC 9052 §4.2) with EdDSA over Ed25519,
// and only in this form:
//
//	d2                  tag 18, COSE_Sign1
//	84                  array of 4
//	   43 a1 01 27      protected header {1: -8}, alg: EdDSA
//	   a0               unprotected header {}
//	   <bstr>           payload, shortest length
//	   58 40 <64 bytes> signature
//
// The external_aad of the signature (RFC 9052 §4.4) is the context, a constant
// text that names the kind of message, so that a signature over one kind never
// passes for another.
package canon

import (
	"bytes"
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

// Bounds of what Unmarshal reads.
const (
	MaxSize     = 128 << 10 // bytes
	MaxNesting  = 12        // arrays and maps within each other
	MaxElements = 4096      // of one array, or pairs of one map
)

// Both modes are immutable and safe for concurrent use.
var (
	encMode = must(encOptions().UserBufferEncMode())
	decMode = must(cbor.DecOptions{
		DupMapKey:        cbor.DupMapKeyEnforcedAPF,
		MaxNestedLevels:  MaxNesting,
		MaxArrayElements: MaxElements,
		MaxMapPairs:      MaxElements,
		IndefLength:      cbor.IndefLengthForbidden,
		TagsMd:           cbor.TagsForbidden,
	}.DecMode())
)

func encOptions() cbor.EncOptions {
	o := cbor.CoreDetEncOptions()
	o.NilContainers = cbor.NilContainerAsEmpty
	o.ByteArray = cbor.ByteArrayToByteSlice
	o.TagsMd = cbor.TagsForbidden
	return o
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // constant options, and values that always encode: caught by any test
	}
	return v
}

// Marshal returns the one encoding of v.
func Marshal(v any) ([]byte, error) { return Append(nil, v) }

// Append appends the one encoding of v to dst, as far as it can in dst's own
// memory.
func Append(dst []byte, v any) ([]byte, error) {
	buf := bytes.NewBuffer(dst)
	if err := encMode.MarshalToBuffer(v, buf); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return buf.Bytes(), nil
}

// Unmarshal reads data, at most MaxSize bytes, into *v, a pointer to a zero
// value, and keeps none of it. It returns ErrTooLarge, ErrMalformed, or
// ErrNotCanonical if data is not exactly what Marshal(v) gives; *v is not to be
// used then. What has been read is encoded again, which shows whether it was
// canonical.
func Unmarshal(data []byte, v any) error {
	if len(data) > MaxSize {
		return fmt.Errorf("%w: %d bytes", ErrTooLarge, len(data))
	}
	if err := decMode.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	again, err := encMode.Marshal(v)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if !bytes.Equal(again, data) {
		return ErrNotCanonical
	}
	return nil
}
