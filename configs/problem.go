package configs

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Problem is one mistake in a configuration.
type Problem struct {
	File   string // the file, or "" if the value is not from one
	Line   int    // 1-based; 0 if unknown
	Column int
	Source string // where the value is from, if not from a file: "--listen", "SECP2PSIP_LISTEN"
	Key    string // "sip.accounts[1].password"; "" for the file as a whole
	What   string // what is wrong
	Mend   string // what to do

	Unknown bool // the key is not one of this kind of configuration
}

// String returns "FILE:LINE:COLUMN: KEY: WHAT; MEND".
func (p Problem) String() string {
	var b strings.Builder
	switch {
	case p.File != "" && p.Line > 0:
		fmt.Fprintf(&b, "%s:%d:%d: ", p.File, p.Line, p.Column)
	case p.File != "":
		b.WriteString(p.File + ": ")
	case p.Source != "":
		b.WriteString(p.Source + ": ")
	}
	if p.Key != "" && p.Source == "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.What)
	if p.Mend != "" {
		b.WriteString("; " + p.Mend)
	}
	return b.String()
}

// Error is everything that is wrong with a configuration, in the order of the
// file. It wraps ErrInvalid.
type Error struct{ Problems []Problem }

// Error returns one line for each problem.
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns ErrInvalid.
func (e *Error) Unwrap() error { return ErrInvalid }

// asError returns nil without problems.
func asError(problems []Problem) error {
	if len(problems) == 0 {
		return nil
	}
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return &Error{problems}
}

// nearest returns `did you mean "…"?` for the nearest of the words, or "" if
// none is near.
func nearest(word string, words []string) string {
	best, d := closest(word, words)
	if d > len(word)/3+1 {
		return ""
	}
	return fmt.Sprintf("did you mean %q?", best)
}

// closest returns the word at the least distance, whatever the case.
func closest(word string, words []string) (best string, least int) {
	least = math.MaxInt
	if len(word) > 64 {
		return "", least
	}
	for _, w := range words {
		if d := distance(strings.ToLower(word), strings.ToLower(w)); d < least {
			best, least = w, d
		}
	}
	return best, least
}

// distance is the number of bytes to insert, remove or replace, and of
// neighbours to swap, between a and b (optimal string alignment).
func distance(a, b string) int {
	before, prev := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			change := 1
			if a[i] == b[j] {
				change = 0
			}
			row[j+1] = min(prev[j+1]+1, row[j]+1, prev[j]+change)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, prev = prev, row
	}
	return prev[len(b)]
}
