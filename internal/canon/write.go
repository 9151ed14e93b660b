package canon

import (
	"encoding"
	"encoding/binary"
	"math/bits"
	"reflect"
)

// write appends v, which is addressable, as p says.
func write(dst []byte, p *plan, v reflect.Value) ([]byte, error) {
	switch p.op {
	case opUint:
		return appendHead(dst, majorUint, v.Uint()), nil
	case opInt:
		if n := v.Int(); n < 0 {
			return appendHead(dst, majorInt, uint64(-1-n)), nil
		}
		return appendHead(dst, majorUint, uint64(v.Int())), nil
	case opBool:
		if v.Bool() {
			return append(dst, simpleTrue), nil
		}
		return append(dst, simpleFalse), nil
	case opText:
		return append(appendHead(dst, majorText, uint64(v.Len())), v.String()...), nil
	case opBytes, opFixed:
		return append(appendHead(dst, majorBytes, uint64(v.Len())), v.Bytes()...), nil
	case opBinary:
		b, err := v.Addr().Interface().(encoding.BinaryMarshaler).MarshalBinary()
		return append(appendHead(dst, majorBytes, uint64(len(b))), b...), err
	case opSlice:
		return writeSlice(dst, p, v)
	case opPointer:
		if v.IsNil() {
			return append(dst, simpleNull), nil
		}
		return write(dst, p.elem, v.Elem())
	case opStruct:
		return writeStruct(dst, p, v)
	}
	return dst, ErrMalformed
}

func writeSlice(dst []byte, p *plan, v reflect.Value) (_ []byte, err error) {
	dst = appendHead(dst, majorArray, uint64(v.Len()))
	for i := range v.Len() {
		if dst, err = write(dst, p.elem, v.Index(i)); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

func writeStruct(dst []byte, p *plan, v reflect.Value) (_ []byte, err error) {
	dst = appendHead(dst, majorArray, uint64(len(p.fields)))
	for _, f := range p.fields {
		if dst, err = write(dst, f.plan, v.Field(f.index)); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// appendHead writes the head of an item in its shortest form.
func appendHead(dst []byte, major byte, arg uint64) []byte {
	switch {
	case arg < 24:
		return append(dst, major<<5|byte(arg))
	case bits.Len64(arg) <= 8:
		return append(dst, major<<5|24, byte(arg))
	case bits.Len64(arg) <= 16:
		return binary.BigEndian.AppendUint16(append(dst, major<<5|25), uint16(arg))
	case bits.Len64(arg) <= 32:
		return binary.BigEndian.AppendUint32(append(dst, major<<5|26), uint32(arg))
	}
	return binary.BigEndian.AppendUint64(append(dst, major<<5|27), arg)
}
