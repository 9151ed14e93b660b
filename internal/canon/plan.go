package canon

import (
	"encoding"
	"reflect"
	"sync"

	"github.com/fxamacker/cbor/v2"
)

// The values that travel have few sorts of fields. For those, a plan made once
// for each type reads and writes the canonical form alone, in one pass and
// without the depth of a general decoder: messages are read by goroutines that
// have just begun, whose stacks would otherwise grow for each of them. Types
// without a plan (maps, interfaces, what encodes itself) go through the general
// codec, which is also what the plans are tested against.

// op is how a value of one type is read and written.
type op uint8

const (
	opNone    op = iota // no plan
	opUint              // unsigned integers
	opInt               // signed integers
	opBool              //
	opText              // strings
	opBytes             // byte slices
	opFixed             // byte arrays
	opBinary            // encoding.BinaryMarshaler in a byte string
	opSlice             // slices of something else
	opPointer           // null, or what it points to
	opStruct            // an array of the fields
)

// plan is immutable.
type plan struct {
	op     op
	size   int     // of opFixed, in bytes; of opUint and opInt, in bits
	elem   *plan   // of opSlice and opPointer
	fields []field // of opStruct
}

type field struct {
	index int
	plan  *plan
}

// plans are kept by type for the life of the program, as the general codec
// keeps what it knows of types.
var plans sync.Map // of reflect.Type to *plan

// planOf returns the plan of a type, or nil.
func planOf(t reflect.Type) *plan {
	if p, ok := plans.Load(t); ok {
		return p.(*plan)
	}
	p := makePlan(t, 0)
	plans.Store(t, p)
	return p
}

// makePlan returns nil where there is none; depth bounds recursive types.
func makePlan(t reflect.Type, depth int) *plan {
	if depth > MaxNesting || encodesItself(t) {
		return nil
	}
	if t.Kind() != reflect.Pointer {
		in, out := implements[encoding.BinaryUnmarshaler](t), implements[encoding.BinaryMarshaler](t)
		switch {
		case in && out:
			return &plan{op: opBinary}
		case in || out:
			return nil
		}
	}
	switch t.Kind() {
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return &plan{op: opUint, size: t.Bits()}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return &plan{op: opInt, size: t.Bits()}
	case reflect.Bool:
		return &plan{op: opBool}
	case reflect.String:
		return &plan{op: opText}
	case reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 && t.Len() > 0 {
			return &plan{op: opFixed, size: t.Len()}
		}
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return &plan{op: opBytes}
		}
		return around(opSlice, t, depth)
	case reflect.Pointer:
		if t.Elem().Kind() != reflect.Pointer {
			return around(opPointer, t, depth)
		}
	case reflect.Struct:
		return structPlan(t, depth)
	}
	return nil
}

func around(how op, t reflect.Type, depth int) *plan {
	elem := makePlan(t.Elem(), depth+1)
	if elem == nil {
		return nil
	}
	return &plan{op: how, elem: elem}
}

// structPlan is for structs that travel as arrays and have no other tags.
func structPlan(t reflect.Type, depth int) *plan {
	if t.NumField() == 0 || t.Field(0).Name != "_" || t.Field(0).Tag.Get("cbor") != ",toarray" {
		return nil
	}
	p := &plan{op: opStruct}
	for i := range t.NumField() {
		f := t.Field(i)
		switch {
		case i == 0:
			continue
		case f.Anonymous, f.Tag != "", !f.IsExported():
			return nil
		}
		fp := makePlan(f.Type, depth+1)
		if fp == nil {
			return nil
		}
		p.fields = append(p.fields, field{i, fp})
	}
	return p
}

func encodesItself(t reflect.Type) bool {
	return implements[cbor.Marshaler](t) || implements[cbor.Unmarshaler](t)
}

// implements tells whether a value of type t, or a pointer to one, is an I.
func implements[I any](t reflect.Type) bool {
	i := reflect.TypeFor[I]()
	return t.Implements(i) || reflect.PointerTo(t).Implements(i)
}
