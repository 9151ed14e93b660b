package configs

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/providers/structs"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"
)

// Source says where values come from.
type Source struct {
	File  string         // TOML file; "" for none
	Env   []string       // "KEY=value", as os.Environ gives it
	Flags *pflag.FlagSet // with the flags of DefineFlags; nil for none
}

// Loaded is a valid configuration.
type Loaded[T any] struct {
	Config   T
	Warnings []string // one sentence each
	origins
}

// origins knows where each value is from.
type origins struct {
	source Source
	at     map[string]position
}

// validator is what both configurations are.
type validator interface{ Validate() []Problem }

// LoadBootstrap puts the configuration of a bootstrap server together. state
// is the default state folder. The error wraps ErrInvalid or ErrRead.
func LoadBootstrap(src Source, state string) (*Loaded[Bootstrap], error) {
	return load(src, DefaultBootstrap(state))
}

// LoadAdapter does the same for an adapter.
func LoadAdapter(src Source, state string) (*Loaded[Adapter], error) {
	return load(src, DefaultAdapter(state))
}

func load[T validator](src Source, defaults T) (*Loaded[T], error) {
	l := &Loaded[T]{origins: origins{source: src}}
	k := koanf.New(".")
	if err := k.Load(structs.Provider(defaults, "koanf"), nil); err != nil {
		return nil, fmt.Errorf("read the defaults: %w", err)
	}
	if err := l.loadFile(k, defaults); err != nil {
		return nil, err
	}
	fields := fieldsOf(defaults)
	problems := l.loadEnv(k, fields)
	if err := asError(problems); err != nil {
		return nil, err
	}
	if err := loadFlags(k, src.Flags, fields); err != nil {
		return nil, fmt.Errorf("read the flags: %w", err)
	}
	if err := k.Unmarshal("", &l.Config); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	problems = l.Config.Validate()
	for i, p := range problems {
		problems[i] = l.locate(p)
	}
	if err := asError(problems); err != nil {
		return nil, err
	}
	return l, nil
}

// Error returns the error for one more mistake in the value of key, with the
// place where the value is from.
func (o origins) Error(key, what, mend string) error {
	return asError([]Problem{o.locate(Problem{Key: key, What: what, Mend: mend})})
}

// locate adds to p where its value is from: the highest layer that sets it.
func (o origins) locate(p Problem) Problem {
	plain, _, _ := strings.Cut(p.Key, "[")
	f := Field{Key: plain}
	if o.source.Flags != nil && o.source.Flags.Changed(f.Flag()) {
		p.Source = "--" + f.Flag()
		return p
	}
	if slices.ContainsFunc(o.source.Env, func(kv string) bool { return strings.HasPrefix(kv, f.Env()+"=") }) {
		p.Source = f.Env()
		return p
	}
	p.File = o.source.File
	if pos, ok := lookUp(o.at, p.Key); ok {
		p.Line, p.Column = pos.line, pos.column
	}
	return p
}

func (l *Loaded[T]) loadEnv(k *koanf.Koanf, fields []Field) []Problem {
	var problems []Problem
	byName := map[string]Field{}
	for _, f := range fields {
		byName[f.Env()] = f
	}
	transform := func(name, text string) (string, any) {
		f, ok := byName[name]
		if !ok {
			return "", nil
		}
		v, err := f.parse(text)
		if err != nil {
			problems = append(problems, Problem{Source: name, Key: f.Key, What: err.Error()})
		}
		return f.Key, v
	}
	provider := env.Provider(".", env.Opt{
		Prefix: EnvPrefix, TransformFunc: transform,
		EnvironFunc: func() []string { return l.source.Env },
	})
	l.warnNames(byName)
	if err := k.Load(provider, nil); err != nil {
		problems = append(problems, Problem{Source: "environment", What: err.Error()})
	}
	return problems
}

// warnNames tells of variables whose names look like a setting's. Others with
// the prefix are left alone: container platforms set some of their own.
func (l *Loaded[T]) warnNames(byName map[string]Field) {
	known := map[string]bool{EnvPrefix + "CONFIG": true}
	for _, f := range append(Fields(KindBootstrap), Fields(KindAdapter)...) {
		known[f.Env()] = true
	}
	names := slices.Sorted(maps.Keys(byName))
	for _, kv := range l.source.Env {
		name, _, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(name, EnvPrefix) || known[name] {
			continue
		}
		if best, d := closest(name, names); d <= 2 {
			l.Warnings = append(l.Warnings, fmt.Sprintf("the environment variable %s is not a setting; did you mean %s?", name, best))
		}
	}
}

func loadFlags(k *koanf.Koanf, flags *pflag.FlagSet, fields []Field) error {
	if flags == nil {
		return nil
	}
	byFlag := map[string]Field{}
	for _, f := range fields {
		byFlag[f.Flag()] = f
	}
	return k.Load(posflag.ProviderWithFlag(flags, ".", nil, func(flag *pflag.Flag) (string, any) {
		f, ok := byFlag[flag.Name]
		if !ok || !flag.Changed {
			return "", nil
		}
		v, err := f.parse(flag.Value.String())
		if err != nil {
			return "", nil // Set has refused it already
		}
		return f.Key, v
	}), nil)
}
