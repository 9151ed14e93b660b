package adapter

import (
	"strings"
	"unicode/utf8"
)

// clip makes a text fit for a signed answer or the call log: valid UTF-8
// without control characters, at most most bytes.
func clip(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) <= most {
		return s
	}
	s = s[:most]
	for !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s
}
