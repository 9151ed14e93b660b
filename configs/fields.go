package configs

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// EnvPrefix begins the name of every environment variable.
const EnvPrefix = "SECP2PSIP_"

// Field is one setting that is not a list of tables.
type Field struct {
	Key   string   // such as sip.redirect
	Help  string   // one line
	OneOf []string // the only words it may be, if not empty
	value reflect.Value
}

// Env returns the name of the field's environment variable.
func (f Field) Env() string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(f.Key, ".", "_"))
}

// Flag returns the name of the field's flag, without the dashes.
func (f Field) Flag() string { return strings.NewReplacer(".", "-", "_", "-").Replace(f.Key) }

// kind names the type as people read it.
func (f Field) kind() string {
	switch f.value.Interface().(type) {
	case Duration:
		return "duration"
	case int:
		return "number"
	case []string:
		return "list"
	}
	return "string"
}

// wants completes "it must be …".
func (f Field) wants() string {
	switch f.kind() {
	case "duration":
		return `a duration in quotes, such as "90d", "36h" or "5m"`
	case "number":
		return "a whole number"
	case "list":
		return `a list of strings, such as ["a", "b"]`
	}
	return `a string in quotes`
}

// parse reads the field's value from a variable or a flag.
func (f Field) parse(text string) (any, error) {
	switch f.kind() {
	case "duration":
		return ParseDuration(text)
	case "number":
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil {
			return nil, fmt.Errorf("%q is not a whole number", text)
		}
		return n, nil
	case "list":
		return splitList(text), nil
	}
	return text, nil
}

// splitList splits at commas; nothing gives an empty list.
func splitList(text string) []string {
	list := []string{}
	for v := range strings.SplitSeq(text, ",") {
		if v = strings.TrimSpace(v); v != "" {
			list = append(list, v)
		}
	}
	return list
}

// text writes the field's value as parse reads it.
func (f Field) text() string {
	if list, ok := f.value.Interface().([]string); ok {
		return strings.Join(list, ",")
	}
	return fmt.Sprint(f.value.Interface())
}

// Fields returns the settings of a kind in the order of its type.
func Fields(kind string) []Field {
	if kind == KindBootstrap {
		return fieldsOf(DefaultBootstrap(""))
	}
	return fieldsOf(DefaultAdapter(""))
}

func fieldsOf(config any) []Field { return appendFields(nil, "", reflect.ValueOf(config)) }

func appendFields(list []Field, prefix string, v reflect.Value) []Field {
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag
		key := prefix + tag.Get("koanf")
		switch field := v.Field(i); {
		case field.Kind() == reflect.Struct:
			list = appendFields(list, key+".", field)
		case field.Kind() == reflect.Slice && field.Type().Elem().Kind() == reflect.Struct:
			// only the file can hold a list of tables
		default:
			list = append(list, Field{Key: key, Help: tag.Get("help"), OneOf: strings.Fields(tag.Get("oneof")), value: field})
		}
	}
	return list
}
