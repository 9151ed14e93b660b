package message

import "bytes"

// ID names a header field that this package knows.
type ID uint8

// The fields that are looked up by name. All others are Other.
const (
	Other ID = iota
	Via
	From
	To
	CallID
	CSeq
	Contact
	MaxForwards
	ContentLength
	ContentType
	Require
	ProxyRequire
	Route
	Expires
	UserAgent
	Authorization
	ProxyAuthorization
	Timestamp
	numIDs
)

// Field is one header field. Value has no surrounding white space.
type Field struct {
	ID    ID
	Name  []byte
	Value []byte
}

// names lists what a name of a given length can be (RFC 3261 §20 and, for one
// letter, §7.3.3).
var names = [...][]struct {
	name string
	id   ID
}{
	1:  {{"v", Via}, {"f", From}, {"t", To}, {"i", CallID}, {"m", Contact}, {"l", ContentLength}, {"c", ContentType}},
	2:  {{"to", To}},
	3:  {{"via", Via}},
	4:  {{"from", From}, {"cseq", CSeq}},
	5:  {{"route", Route}},
	7:  {{"call-id", CallID}, {"contact", Contact}, {"expires", Expires}, {"require", Require}},
	9:  {{"timestamp", Timestamp}},
	10: {{"user-agent", UserAgent}},
	12: {{"max-forwards", MaxForwards}, {"content-type", ContentType}},
	13: {{"proxy-require", ProxyRequire}, {"authorization", Authorization}},
	14: {{"content-length", ContentLength}},
	19: {{"proxy-authorization", ProxyAuthorization}},
}

func identify(name []byte) ID {
	if len(name) >= len(names) {
		return Other
	}
	for _, n := range names[len(name)] {
		if name[0]|0x20 == n.name[0] && equalFold(name, n.name) {
			return n.id
		}
	}
	return Other
}

// equalFold compares ASCII text; lower must be in lower case.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if c != lower[i] && (c < 'A' || c > 'Z' || c|0x20 != lower[i]) {
			return false
		}
	}
	return true
}

// EqualFold tells whether a and b are the same ASCII text but for case.
func EqualFold[A, B []byte | string](a A, b B) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if fold(a[i]) != fold(b[i]) {
			return false
		}
	}
	return true
}

func fold(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c | 0x20
	}
	return c
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' }

// trim cuts linear white space at both ends.
func trim(b []byte) []byte {
	for len(b) > 0 && isSpace(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && isSpace(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

// Halves cuts a value at its first linear white space, as a CSeq is made.
func Halves(b []byte) (head, tail []byte) {
	for i, c := range b {
		if isSpace(c) {
			return b[:i], trim(b[i:])
		}
	}
	return b, nil
}

// isToken tells whether b is a token (RFC 3261 §25.1).
func isToken(b []byte) bool {
	for _, c := range b {
		if !isTokenByte(c) {
			return false
		}
	}
	return len(b) > 0
}

func isTokenByte(c byte) bool {
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		return true
	}
	return c != 0 && bytes.IndexByte([]byte("-.!%*_+`'~"), c) >= 0
}

// number reads an unsigned decimal number of at most max.
func number(b []byte, max uint64) (uint64, bool) {
	if len(b) == 0 || len(b) > 10 {
		return 0, false
	}
	var n uint64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, n <= max
}
