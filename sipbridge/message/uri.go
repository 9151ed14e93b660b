package message

import (
	"bytes"
	"net/netip"
	"strconv"
	"unsafe"
)

// URI is a SIP URI (RFC 3261 §19.1.1), its parts as they were written.
type URI struct {
	Scheme   []byte // "sip", "sips", "tel" …, in the case it was written
	User     []byte // without password, still escaped
	Password []byte
	Host     []byte // IPv6 without its brackets
	Port     uint16 // 0 if none
	Params   []byte // beginning with ';', or empty
	Headers  []byte // beginning with '?', or empty
}

// IsSIP tells whether the scheme is sip.
func (u *URI) IsSIP() bool { return equalFold(u.Scheme, "sip") }

// ParseURI reads a URI. Of schemes other than sip and sips it reads only the
// scheme. A SIP URI must have a host that is a host name or an IP address.
func ParseURI(b []byte) (URI, error) {
	var u URI
	i := bytes.IndexByte(b, ':')
	if i < 1 || !isScheme(b[:i]) {
		return u, malformed("a URI has no scheme")
	}
	for _, c := range b {
		if c <= ' ' || c == '<' || c == '>' || c == '"' || c == 0x7f {
			return u, malformed("a URI has a character that it may not have")
		}
	}
	u.Scheme = b[:i]
	if !u.IsSIP() && !equalFold(u.Scheme, "sips") {
		return u, nil
	}
	rest := b[i+1:]
	if at := userEnd(rest); at >= 0 {
		u.User, rest = rest[:at], rest[at+1:]
		if c := bytes.IndexByte(u.User, ':'); c >= 0 {
			u.User, u.Password = u.User[:c], u.User[c+1:]
		}
		if len(u.User) == 0 {
			return u, malformed("a URI has an empty user part")
		}
	}
	if q := bytes.IndexByte(rest, '?'); q >= 0 {
		rest, u.Headers = rest[:q], rest[q:]
	}
	if p := bytes.IndexByte(rest, ';'); p >= 0 {
		rest, u.Params = rest[:p], rest[p:]
	}
	var ok bool
	if u.Host, u.Port, ok = hostPort(rest); !ok {
		return u, malformed("a URI has no valid host")
	}
	return u, nil
}

// userEnd finds the '@' that ends the user part. A user part may hold ';', '?'
// and '/' unescaped, so the first '@' counts.
func userEnd(b []byte) int { return bytes.IndexByte(b, '@') }

func isScheme(b []byte) bool {
	for i, c := range b {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (i == 0 || (c < '0' || c > '9') && c != '+' && c != '-' && c != '.') {
			return false
		}
	}
	return len(b) > 0
}

// hostPort reads host[:port]; the port, if there is one, is 1 to 65535.
func hostPort(b []byte) (host []byte, port uint16, ok bool) {
	host = b
	tail := []byte(nil)
	if len(b) > 0 && b[0] == '[' {
		end := bytes.IndexByte(b, ']')
		if end < 0 {
			return nil, 0, false
		}
		host, tail = b[1:end], b[end+1:]
		if a, err := netip.ParseAddr(text(host)); err != nil || !a.Is6() {
			return nil, 0, false
		}
		if len(tail) > 0 && tail[0] != ':' {
			return nil, 0, false
		}
	} else {
		if c := bytes.IndexByte(b, ':'); c >= 0 {
			host, tail = b[:c], b[c:]
		}
		if !isHost(host) {
			return nil, 0, false
		}
	}
	if len(tail) == 0 {
		return host, 0, true
	}
	n, ok := number(tail[1:], 65535)
	return host, uint16(n), ok && n > 0
}

// isHost tells whether b can be a host name or an IPv4 address. Underscores
// are let through: some networks have them in names.
func isHost(b []byte) bool {
	if len(b) == 0 || len(b) > 255 {
		return false
	}
	for _, c := range b {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '.', c == '_':
		default:
			return false
		}
	}
	return true
}

// Addr returns the host as an IP address, if it is one.
func (u *URI) Addr() (netip.Addr, bool) {
	if len(u.Host) == 0 || !hexOrDigit(u.Host[0]) && u.Host[0] != ':' {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(text(u.Host))
	return a.Unmap(), err == nil
}

func hexOrDigit(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f'
}

// Name returns the user part unescaped and without user parameters, "" when
// it has none or one that is wrongly escaped.
func (u *URI) Name() string {
	user := u.User
	if i := bytes.IndexByte(user, ';'); i >= 0 {
		user = user[:i]
	}
	s, ok := Unescape(user)
	if !ok {
		return ""
	}
	return s
}

// Param returns the value of a URI parameter.
func (u *URI) Param(name string) (value []byte, ok bool) { return param(u.Params, name) }

// Canonical returns the form in which equivalent URIs are the same text, near
// enough to RFC 3261 §19.1.4: scheme and host in lower case, user unescaped,
// no default port, and of the parameters only transport. The result is for
// comparing, not for sending.
func (u *URI) Canonical() string { return string(u.AppendCanonical(nil)) }

// AppendCanonical appends what Canonical returns.
func (u *URI) AppendCanonical(dst []byte) []byte {
	dst = append(appendLower(dst, u.Scheme), ':')
	if user, ok := appendUnescaped(dst, u.User); ok {
		dst = user
	} else {
		dst = append(dst, u.User...)
	}
	dst = append(dst, '@')
	if a, ok := u.Addr(); ok {
		dst = a.AppendTo(dst)
	} else {
		dst = appendLower(dst, u.Host)
	}
	if u.Port != 0 && u.Port != 5060 {
		dst = strconv.AppendUint(append(dst, ':'), uint64(u.Port), 10)
	}
	if t, ok := u.Param("transport"); ok && !equalFold(t, "udp") {
		dst = appendLower(append(dst, ";transport="...), t)
	}
	return dst
}

func appendLower(dst, b []byte) []byte {
	for _, c := range b {
		dst = append(dst, fold(c))
	}
	return dst
}

// Unescape decodes %HH. It reports false for a broken escape.
func Unescape(b []byte) (string, bool) {
	if bytes.IndexByte(b, '%') < 0 {
		return string(b), true
	}
	out, ok := appendUnescaped(nil, b)
	return string(out), ok
}

func appendUnescaped(dst, b []byte) ([]byte, bool) {
	for i := 0; i < len(b); i++ {
		if b[i] != '%' {
			dst = append(dst, b[i])
			continue
		}
		if i+2 >= len(b) {
			return nil, false
		}
		h, ok1 := unhex(b[i+1])
		l, ok2 := unhex(b[i+2])
		if !ok1 || !ok2 {
			return nil, false
		}
		dst = append(dst, h<<4|l)
		i += 2
	}
	return dst, true
}

func unhex(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10, true
	}
	return 0, false
}

// text views b as a string for a call that does not keep it.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) } // #nosec G103 -- nothing outlives the call or changes b meanwhile
