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
	"reflect"

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
	encMode = must(encOptions().EncMode())
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
		panic(err) // constant options: caught by any test
	}
	return v
}

// Marshal returns the one encoding of v.
func Marshal(v any) ([]byte, error) { return Append(nil, v) }

// Append appends the one encoding of v to dst.
func Append(dst []byte, v any) ([]byte, error) {
	out, planned, err := appendPlanned(dst, v)
	if err == nil && !planned {
		var b []byte
		b, err = encMode.Marshal(v)
		out = append(dst, b...)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return out, nil
}

// appendPlanned is Append for what has a plan.
func appendPlanned(dst []byte, v any) (out []byte, planned bool, err error) {
	rv := reflect.ValueOf(v)
	if !rv.IsValid() {
		return dst, false, nil
	}
	t := rv.Type()
	if t.Kind() == reflect.Pointer && !rv.IsNil() {
		rv, t = rv.Elem(), t.Elem()
	}
	p := planOf(t)
	if p == nil {
		return dst, false, nil
	}
	if !rv.CanAddr() {
		addressable := reflect.New(t).Elem()
		addressable.Set(rv)
		rv = addressable
	}
	out, err = write(dst, p, rv)
	return out, true, err
}

// Unmarshal reads data, at most MaxSize bytes, into *v, a pointer to a zero
// value, and keeps none of it. It returns ErrTooLarge, ErrMalformed, or
// ErrNotCanonical if data is not exactly what Marshal(v) gives; *v is not to be
// used then.
func Unmarshal(data []byte, v any) error {
	if len(data) > MaxSize {
		return fmt.Errorf("%w: %d bytes", ErrTooLarge, len(data))
	}
	rv := reflect.ValueOf(v)
	if rv.Kind() != reflect.Pointer || rv.IsNil() {
		return fmt.Errorf("%w: nowhere to put it", ErrMalformed)
	}
	p := planOf(rv.Type().Elem())
	if p == nil {
		return unmarshalGeneral(data, v)
	}
	r := reader{data}
	if err := r.read(p, rv.Elem()); err != nil {
		return err
	}
	if len(r.data) > 0 {
		return fmt.Errorf("%w: %d bytes too many", ErrMalformed, len(r.data))
	}
	return nil
}

// unmarshalGeneral is Unmarshal for any type: what has been read is encoded
// again, which shows whether it was canonical.
func unmarshalGeneral(data []byte, v any) error {
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
