package message

import "bytes"

// param finds ;name or ;name=value in text that begins with ';'. Values may be
// quoted (the quotes stay).
func param(b []byte, name string) (value []byte, ok bool) {
	for len(b) > 0 {
		n, v, rest, _ := nextParam(b)
		if equalFold(n, name) {
			return v, true
		}
		b = rest
	}
	return nil, false
}

// countParam counts the parameters of that name.
func countParam(b []byte, name string) (n int) {
	for len(b) > 0 {
		found, _, rest, _ := nextParam(b)
		if equalFold(found, name) {
			n++
		}
		b = rest
	}
	return n
}

// nextParam reads the parameter at the start of b, which begins with ';'.
// valid is false if its name is not a token.
func nextParam(b []byte) (name, value, rest []byte, valid bool) {
	b = b[1:]
	end := indexUnquoted(b, ";")
	if end < 0 {
		end = len(b)
	}
	p, rest := b[:end], b[end:]
	if i := bytes.IndexByte(p, '='); i >= 0 {
		name, value = trim(p[:i]), trim(p[i+1:])
	} else {
		name = trim(p)
	}
	return name, value, rest, isToken(name) && closed(value)
}

// closed tells whether every quote and angle bracket in a value ends in it:
// what is written behind it must not become part of it.
func closed(b []byte) bool {
	quoted, bracket := false, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
		case !bracket && c == '"':
			quoted = !quoted
		case !quoted && c == '<':
			bracket = true
		case !quoted && c == '>':
			bracket = false
		}
	}
	return !quoted && !bracket
}

// indexUnquoted finds the first of the given characters outside quotes and
// angle brackets. Any of them may be '<' itself.
func indexUnquoted(b []byte, chars string) int {
	quoted, bracket := false, false
	for i := 0; i < len(b); i++ {
		c := b[i]
		switch {
		case quoted:
			if c == '\\' {
				i++
			} else if c == '"' {
				quoted = false
			}
			continue
		case bracket:
			bracket = c != '>'
			continue
		case c == '"':
			quoted = true
			continue
		}
		for j := range len(chars) {
			if chars[j] == c {
				return i
			}
		}
		bracket = c == '<'
	}
	return -1
}
