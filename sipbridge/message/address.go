package message

import "bytes"

// Address is a From, To, Contact or Route value: a name-addr or an addr-spec
// with header parameters (RFC 3261 §20.10).
type Address struct {
	URI    []byte
	Params []byte // header parameters, beginning with ';', or empty
}

// Tag returns the tag parameter, nil if there is none.
func (a *Address) Tag() []byte {
	v, _ := param(a.Params, "tag")
	return v
}

// Param returns a header parameter.
func (a *Address) Param(name string) (value []byte, ok bool) { return param(a.Params, name) }

// ParseAddress reads one value. Without angle brackets, what follows the
// first semicolon are header parameters (RFC 3261 §20).
func ParseAddress(b []byte) (Address, error) {
	a, rest, err := nextAddress(b)
	if err == nil && len(rest) > 0 {
		return a, malformed("more than one address where one is allowed")
	}
	return a, err
}

// nextAddress reads the first value of a comma-separated list and returns what
// follows its comma.
func nextAddress(b []byte) (a Address, rest []byte, err error) {
	b = trim(b)
	tail := b
	if open := indexUnquoted(b, "<,"); open >= 0 && b[open] == '<' {
		if !displayName(trim(b[:open])) {
			return a, nil, malformed("an address has a broken display name")
		}
		end := bytes.IndexByte(b[open:], '>')
		if end < 0 {
			return a, nil, malformed("an address has an open angle bracket")
		}
		a.URI, tail = b[open+1:open+end], trim(b[open+end+1:])
	} else {
		end := indexUnquoted(b, ";,")
		if end < 0 {
			end = len(b)
		}
		a.URI, tail = trim(b[:end]), b[end:]
		if bytes.ContainsAny(a.URI, "\"<> \t") {
			return a, nil, malformed("an address has a broken display name")
		}
		if bytes.IndexByte(a.URI, '?') >= 0 {
			return a, nil, malformed("a URI with headers needs angle brackets") // RFC 3261 §20
		}
	}
	end := indexUnquoted(tail, ",")
	if end < 0 {
		end = len(tail)
	} else if rest = trim(tail[end+1:]); len(rest) == 0 {
		return a, nil, malformed("a list of addresses ends in a comma")
	}
	a.Params = trim(tail[:end])
	if len(a.URI) == 0 {
		return a, nil, malformed("an address has no URI")
	}
	return a, rest, checkParams(a.Params)
}

func checkParams(b []byte) error {
	if len(b) > 0 && b[0] != ';' {
		return malformed("an address has text behind its URI")
	}
	for len(b) > 0 {
		_, _, rest, valid := nextParam(b)
		if !valid {
			return malformed("an address has a broken parameter")
		}
		b = rest
	}
	return nil
}

// displayName accepts one quoted string, or words. Real phones put characters
// into unquoted names that the grammar forbids; only quotes matter here.
func displayName(b []byte) bool {
	if len(b) == 0 {
		return true
	}
	if b[0] != '"' {
		return bytes.IndexByte(b, '"') < 0
	}
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i == len(b)-1
		}
	}
	return false
}

// Addresses calls yield for each address of every field of that kind, and
// stops with the first error.
func (m *Message) Addresses(id ID, yield func(Address) error) error {
	for i := range m.Fields {
		if m.Fields[i].ID != id {
			continue
		}
		rest := m.Fields[i].Value
		for first := true; first || len(rest) > 0; first = false {
			a, next, err := nextAddress(rest)
			if err != nil {
				return err
			}
			if err := yield(a); err != nil {
				return err
			}
			rest = next
		}
	}
	return nil
}
