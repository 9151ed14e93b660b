package configs

import (
	"strings"

	"github.com/spf13/pflag"
)

// DefineFlags gives fs a flag for each setting of kind. state is the default
// that the help shows for the state folder.
func DefineFlags(fs *pflag.FlagSet, kind, state string) {
	for _, f := range Fields(kind) {
		def := f.text()
		if f.Key == "state" {
			def = state
		}
		help := f.Help
		if len(f.OneOf) > 0 {
			help += " (" + strings.Join(f.OneOf, "|") + ")"
		}
		fs.Var(&flagValue{field: f, text: def}, f.Flag(), help)
	}
}

// flagValue is a pflag.Value that keeps its text and knows its field.
type flagValue struct {
	field Field
	text  string
	set   bool
}

func (v *flagValue) String() string { return v.text }

func (v *flagValue) Type() string { return v.field.kind() }

func (v *flagValue) Set(text string) error {
	if _, err := v.field.parse(text); err != nil {
		return err
	}
	if v.set && v.field.kind() == "list" {
		text = v.text + "," + text
	}
	v.text, v.set = text, true
	return nil
}
