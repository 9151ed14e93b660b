package canon

import "reflect"

// UnmarshalGeneral is Unmarshal without a plan.
var UnmarshalGeneral = unmarshalGeneral

// MarshalGeneral is Marshal without a plan.
func MarshalGeneral(v any) ([]byte, error) { return encMode.Marshal(v) }

// Planned tells whether values of v's type have a plan.
func Planned(v any) bool { return planOf(reflect.TypeOf(v)) != nil }
