package wire

import (
	"strings"
	"unicode/utf8"
)

// cleanText makes s fit for a text field: valid UTF-8 without control
// characters, at most most bytes.
func cleanText(s string, most int) string {
	s = strings.ToValidUTF8(s, "?")
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	if len(s) <= most {
		return s
	}
	s = s[:most]
	for !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s
}
