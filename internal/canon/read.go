package canon

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"unicode/utf8"
)

// The major types of CBOR (RFC 8949 §3.1) and the simple values that travel.
const (
	majorUint  = 0
	majorInt   = 1
	majorBytes = 2
	majorText  = 3
	majorArray = 4

	simpleFalse = 0xf4
	simpleTrue  = 0xf5
	simpleNull  = 0xf6
)

// reader takes canonical items off the front of data.
type reader struct{ data []byte }

// read fills v, which can be set, as p says.
func (r *reader) read(p *plan, v reflect.Value) error {
	switch p.op {
	case opUint, opInt:
		return r.number(p, v)
	case opBool:
		return r.boolean(v)
	case opText:
		b, err := r.bytes(majorText)
		if err != nil {
			return err
		}
		if !utf8.Valid(b) {
			return fmt.Errorf("%w: text that is not UTF-8", ErrMalformed)
		}
		v.SetString(string(b))
	case opBytes:
		b, err := r.bytes(majorBytes)
		if err != nil {
			return err
		}
		v.SetBytes(append(make([]byte, 0, len(b)), b...))
	case opFixed:
		b, err := r.bytes(majorBytes)
		if err != nil {
			return err
		}
		if len(b) != p.size {
			return fmt.Errorf("%w: %d bytes instead of %d", ErrNotCanonical, len(b), p.size)
		}
		copy(v.Bytes(), b)
	case opBinary:
		return r.binary(v)
	case opSlice:
		return r.slice(p, v)
	case opPointer:
		if len(r.data) > 0 && r.data[0] == simpleNull {
			r.data = r.data[1:]
			return nil
		}
		v.Set(reflect.New(v.Type().Elem()))
		return r.read(p.elem, v.Elem())
	case opStruct:
		return r.structure(p, v)
	}
	return nil
}

// head reads the head of an item in its shortest form (RFC 8949 §4.2.1).
func (r *reader) head() (major byte, arg uint64, err error) {
	if len(r.data) == 0 {
		return 0, 0, fmt.Errorf("%w: truncated", ErrMalformed)
	}
	first := r.data[0]
	major, arg = first>>5, uint64(first&0x1f)
	switch {
	case arg < 24:
		r.data = r.data[1:]
		return major, arg, nil
	case arg > 27:
		return 0, 0, fmt.Errorf("%w: indefinite or reserved length", ErrMalformed)
	}
	width := 1 << (arg - 24)
	if len(r.data) < 1+width {
		return 0, 0, fmt.Errorf("%w: truncated", ErrMalformed)
	}
	arg = 0
	for _, c := range r.data[1 : 1+width] {
		arg = arg<<8 | uint64(c)
	}
	if width == 1 && arg < 24 || width > 1 && arg>>(4*width) == 0 {
		return 0, 0, ErrNotCanonical
	}
	r.data = r.data[1+width:]
	return major, arg, nil
}

// expect reads a head of one major type.
func (r *reader) expect(major byte) (uint64, error) {
	got, arg, err := r.head()
	if err == nil && got != major {
		err = fmt.Errorf("%w: major type %d instead of %d", ErrMalformed, got, major)
	}
	return arg, err
}

// bytes reads a byte or text string and returns a part of the input.
func (r *reader) bytes(major byte) ([]byte, error) {
	n, err := r.expect(major)
	if err != nil {
		return nil, err
	}
	if n > uint64(len(r.data)) {
		return nil, fmt.Errorf("%w: truncated string", ErrMalformed)
	}
	b := r.data[:n:n]
	r.data = r.data[n:]
	return b, nil
}

func (r *reader) number(p *plan, v reflect.Value) error {
	major, arg, err := r.head()
	switch {
	case err != nil:
		return err
	case p.op == opUint && major == majorUint && (p.size == 64 || arg>>p.size == 0):
		v.SetUint(arg)
	case p.op == opInt && major <= majorInt && arg <= math.MaxInt64 && arg>>(p.size-1) == 0:
		n := int64(arg)
		if major == majorInt {
			n = -1 - n
		}
		v.SetInt(n)
	default:
		return fmt.Errorf("%w: no integer of %d bits", ErrMalformed, p.size)
	}
	return nil
}

func (r *reader) boolean(v reflect.Value) error {
	if len(r.data) == 0 || r.data[0] != simpleFalse && r.data[0] != simpleTrue {
		return fmt.Errorf("%w: no boolean", ErrMalformed)
	}
	v.SetBool(r.data[0] == simpleTrue)
	r.data = r.data[1:]
	return nil
}

// binary reads what encodes itself into a byte string, and holds it to that
// encoding.
func (r *reader) binary(v reflect.Value) error {
	b, err := r.bytes(majorBytes)
	if err != nil {
		return err
	}
	if err := v.Addr().Interface().(encoding.BinaryUnmarshaler).UnmarshalBinary(b); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	again, err := v.Addr().Interface().(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil || string(again) != string(b) {
		return ErrNotCanonical
	}
	return nil
}

func (r *reader) slice(p *plan, v reflect.Value) error {
	n, err := r.expect(majorArray)
	if err != nil {
		return err
	}
	if n > MaxElements || n > uint64(len(r.data)) { // every element takes a byte
		return fmt.Errorf("%w: an array of %d", ErrMalformed, n)
	}
	v.Set(reflect.MakeSlice(v.Type(), int(n), int(n)))
	for i := range int(n) {
		if err := r.read(p.elem, v.Index(i)); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) structure(p *plan, v reflect.Value) error {
	n, err := r.expect(majorArray)
	if err != nil {
		return err
	}
	if n != uint64(len(p.fields)) {
		return fmt.Errorf("%w: %d fields instead of %d", ErrMalformed, n, len(p.fields))
	}
	for _, f := range p.fields {
		if err := r.read(f.plan, v.Field(f.index)); err != nil {
			return err
		}
	}
	return nil
}
