package configs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	tomlparser "github.com/knadh/koanf/parsers/toml/v2"
	"github.com/knadh/koanf/providers/rawbytes"
	"github.com/knadh/koanf/v2"
	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// maxFile bounds a configuration file, in bytes.
const maxFile = 128 << 10

func (l *Loaded[T]) loadFile(k *koanf.Koanf, blank T) error {
	if l.source.File == "" {
		return nil
	}
	data, err := readFile(l.source.File)
	if err != nil {
		return err
	}
	l.at = findPositions(data)
	if err := asError(checkFile(l.source.File, data, l.at, blank)); err != nil {
		return err
	}
	if err := k.Load(rawbytes.Provider(data), tomlparser.Parser()); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrInvalid, l.source.File, err)
	}
	if w := modeWarning(l.source.File, l.at); w != "" {
		l.Warnings = append(l.Warnings, w)
	}
	return nil
}

func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRead, err)
	}
	if info.IsDir() || info.Size() > maxFile {
		return nil, fmt.Errorf("%w: %s is a folder or larger than %d bytes", ErrRead, path, maxFile)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRead, err)
	}
	return data, nil
}

// modeWarning tells of secrets that everyone on the machine can read.
func modeWarning(path string, at map[string]position) string {
	_, join := at["join"]
	_, accounts := at["sip.accounts"]
	info, err := os.Stat(path)
	if err != nil || !join && !accounts || info.Mode().Perm()&0o004 == 0 || os.PathSeparator == '\\' {
		return ""
	}
	return fmt.Sprintf("%s holds secrets and every user of this machine can read it; run: chmod 640 %s", path, path)
}

// checkFile decodes strictly, to find mistakes with their places.
func checkFile[T any](file string, data []byte, at map[string]position, blank T) []Problem {
	dec := toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields()
	err := dec.Decode(&blank)
	var missing *toml.StrictMissingError
	var broken *toml.DecodeError
	switch {
	case err == nil:
		return bareDurations(file, at, blank)
	case errors.As(err, &missing):
		var problems []Problem
		for i := range missing.Errors {
			problems = append(problems, unknownKey(file, &missing.Errors[i], blank))
		}
		return problems
	case errors.As(err, &broken):
		return []Problem{brokenValue(file, broken, at, blank)}
	}
	return []Problem{{File: file, What: strings.TrimPrefix(err.Error(), "toml: ")}}
}

// bareDurations finds durations that are numbers: nobody means nanoseconds.
func bareDurations(file string, at map[string]position, config any) []Problem {
	var problems []Problem
	for _, f := range fieldsOf(config) {
		if pos, ok := at[f.Key]; ok && f.kind() == "duration" && pos.kind != unstable.String {
			problems = append(problems, Problem{
				File: file, Line: pos.line, Column: pos.column, Key: f.Key, What: "it must be " + f.wants(),
			})
		}
	}
	return problems
}

func unknownKey(file string, e *toml.DecodeError, config any) Problem {
	key := strings.Join(e.Key(), ".")
	p := Problem{File: file, What: fmt.Sprintf("unknown key %q", key), Unknown: true}
	p.Line, p.Column = e.Position()
	own := keysOf(config)
	other, where := Fields(KindAdapter), "an adapter"
	if _, adapter := config.(Adapter); adapter {
		other, where = Fields(KindBootstrap), "a bootstrap server"
	}
	last := key[strings.LastIndexByte(key, '.')+1:]
	for _, k := range own {
		if table, leaf, ok := cutLast(k); ok && leaf == last {
			p.Mend = fmt.Sprintf("%s belongs under [%s]", last, table)
		}
	}
	if slices.ContainsFunc(other, func(f Field) bool { return f.Key == key || strings.HasPrefix(f.Key, key+".") }) {
		p.Mend = "it is a setting of " + where
	} else if p.Mend == "" {
		p.Mend = nearest(key, own)
	}
	if p.Mend == "" {
		p.Mend = "remove the line; see 'secp2psip config sample' for the keys"
	}
	return p
}

func cutLast(key string) (table, leaf string, ok bool) {
	i := strings.LastIndexByte(key, '.')
	if i < 0 {
		return "", key, false
	}
	return key[:i], key[i+1:], true
}

// keysOf lists the keys that a file may have.
func keysOf(config any) []string {
	var keys []string
	for _, f := range fieldsOf(config) {
		keys = append(keys, f.Key)
	}
	if _, ok := config.(Adapter); ok {
		keys = append(keys, "sip.accounts", "sip.accounts.user", "sip.accounts.password")
	}
	return keys
}

func brokenValue(file string, e *toml.DecodeError, at map[string]position, config any) Problem {
	p := Problem{File: file, What: strings.TrimPrefix(e.Error(), "toml: ")}
	p.Line, p.Column = e.Position()
	key := strings.Join(e.Key(), ".")
	for _, f := range fieldsOf(config) {
		if f.Key == key {
			p.Key, p.What = key, "it must be "+f.wants()
			if pos, ok := at[key]; ok {
				p.Line, p.Column = pos.line, pos.column
			}
			return p
		}
	}
	if key == "" {
		p.Mend = "this is not TOML; strings need quotes, and every line is KEY = VALUE, [TABLE] or a # comment"
	}
	return p
}
