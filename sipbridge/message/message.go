package message

import (
	"bytes"
	"errors"
)

// Bounds of one message.
const (
	MaxFields = 128 // header fields
	MaxCallID = 256 // bytes of its Call-ID
	maxMethod = 64  // bytes of its method
)

// Message is one parsed SIP message. The zero value is ready for Parse, and a
// Message may be parsed into again and again; it is not for concurrent use.
type Message struct {
	// Raw is the whole message with CRLF lines, unfolded, and without anything
	// after its body.
	Raw []byte
	// Method and Target (the Request-URI) are set for requests, Status for
	// responses. Method keeps its case: methods are case-sensitive.
	Method, Target []byte
	Status         int
	// Version is that of the start line: "SIP/2.0".
	Version []byte
	Fields  []Field
	Body    []byte

	first   [numIDs]int16 // index+1 of the first field of each kind
	count   [numIDs]uint8 // how many there are, up to 255
	scratch []byte        // where a message that had to be put right lies
}

// IsRequest tells a request from a response.
func (m *Message) IsRequest() bool { return m.Status == 0 }

// Get returns the value of the first field of that kind, nil if there is none.
func (m *Message) Get(id ID) []byte {
	if i := m.first[id]; i > 0 {
		return m.Fields[i-1].Value
	}
	return nil
}

// Has tells whether there is a field of that kind, even an empty one.
func (m *Message) Has(id ID) bool { return m.first[id] > 0 }

// Count returns the number of fields of that kind, at most 255.
func (m *Message) Count(id ID) int { return int(m.count[id]) }

// Is compares the method.
func (m *Message) Is(method string) bool { return string(m.Method) == method }

// Parse reads the one message in data, a datagram or a whole message of a
// stream. It returns ErrNotSIP when data is something else. With an error that
// wraps ErrMalformed, the start line and the fields that could be read are
// there, so that a request can be refused.
func (m *Message) Parse(data []byte) error {
	for len(data) > 0 && (data[0] == '\r' || data[0] == '\n') { // RFC 3261 §7.5
		data = data[1:]
	}
	ok, err := m.parse(data)
	if !ok {
		m.scratch = normalise(m.scratch[:0], data)
		if ok, err = m.parse(m.scratch); !ok {
			err = malformed("the header does not end")
		}
	}
	return err
}

// parse reports false when data must be normalised first.
func (m *Message) parse(data []byte) (bool, error) {
	m.reset()
	line, rest, ok := cutLine(data)
	if !ok {
		return bytes.IndexByte(data, '\n') < 0, ErrNotSIP
	}
	fault := m.startLine(line)
	if errors.Is(fault, ErrNotSIP) {
		return true, fault
	}
	if len(rest) > 0 && isSpace(rest[0]) {
		return false, nil // folded
	}
	for {
		line, next, ok := cutLine(rest)
		if !ok {
			if bytes.IndexByte(rest, '\n') >= 0 {
				return false, nil
			}
			return true, malformed("the header does not end")
		}
		if len(next) > 0 && isSpace(next[0]) && len(line) > 0 {
			return false, nil // folded
		}
		rest = next
		if len(line) == 0 {
			break
		}
		if len(m.Fields) == MaxFields {
			return true, malformed("too many header fields")
		}
		if err := m.field(line); err != nil && fault == nil {
			fault = err
		}
	}
	if err := m.body(data, rest); err != nil && fault == nil {
		fault = err
	}
	return true, fault
}

func (m *Message) reset() {
	m.Raw, m.Method, m.Target, m.Version, m.Body, m.Status = nil, nil, nil, nil, nil, 0
	m.Fields = m.Fields[:0]
	m.first = [numIDs]int16{}
	m.count = [numIDs]uint8{}
}

// cutLine cuts a line that ends in CRLF. It fails on a bare LF, and where a
// line has a CR or NUL in it.
func cutLine(data []byte) (line, rest []byte, ok bool) {
	i := bytes.IndexByte(data, '\n')
	if i < 1 || data[i-1] != '\r' {
		return nil, nil, false
	}
	line = data[:i-1]
	if bytes.IndexByte(line, '\r') >= 0 || bytes.IndexByte(line, 0) >= 0 {
		return nil, nil, false
	}
	return line, data[i+1:], true
}

// startLine reads "METHOD URI SIP/2.0" or "SIP/2.0 CODE REASON".
func (m *Message) startLine(line []byte) error {
	a, rest, ok := bytes.Cut(line, []byte{' '})
	if !ok {
		return ErrNotSIP
	}
	if len(a) >= 4 && equalFold(a[:4], "sip/") {
		code, _, _ := bytes.Cut(rest, []byte{' '})
		n, ok := number(code, 699)
		if !ok || n < 100 || len(code) != 3 {
			return ErrNotSIP
		}
		m.Version, m.Status = a, int(n)
		return nil
	}
	whole := trim(rest)
	i := bytes.LastIndexByte(whole, ' ')
	if i < 0 || len(whole)-i < 5 || !equalFold(whole[i+1:i+5], "sip/") || !isToken(a) || len(a) > maxMethod {
		return ErrNotSIP
	}
	m.Method, m.Target, m.Version = a, whole[:i], whole[i+1:]
	if len(whole) < len(rest) || isSpace(m.Target[len(m.Target)-1]) {
		return malformed("the request line has white space where none may be")
	}
	return nil
}

func (m *Message) field(line []byte) error {
	i := bytes.IndexByte(line, ':')
	if i < 0 {
		return malformed("a header line has no colon")
	}
	name := trim(line[:i])
	if !isToken(name) {
		return malformed("a header field's name is not a token")
	}
	id := identify(name)
	m.Fields = append(m.Fields, Field{id, name, trim(line[i+1:])})
	if m.count[id] == 0 {
		m.first[id] = int16(len(m.Fields))
	}
	if m.count[id] < 255 {
		m.count[id]++
	}
	return nil
}

// body cuts the body to Content-Length (RFC 3261 §18.3): what lies behind it
// is ignored, and a longer one than there is makes the message malformed.
func (m *Message) body(data, rest []byte) error {
	m.Raw, m.Body = data, rest
	if !m.Has(ContentLength) {
		return nil
	}
	n, ok := number(m.Get(ContentLength), 1<<31)
	if !ok {
		return malformed("Content-Length is not a number")
	}
	if n > uint64(len(rest)) {
		return malformed("the body is shorter than Content-Length says")
	}
	m.Body = rest[:n]
	m.Raw = data[:len(data)-len(rest)+int(n)]
	return nil
}

// normalise appends data to dst with every line of the header ended by CRLF
// and folded lines joined by one space (RFC 3261 §7.3.1). A CR or NUL inside a
// line becomes a space: nothing that later reads the header can take it for a
// line's end. The body is left alone.
func normalise(dst, data []byte) []byte {
	for len(data) > 0 {
		i := bytes.IndexByte(data, '\n')
		if i < 0 {
			return append(dst, data...)
		}
		line := bytes.TrimSuffix(data[:i], []byte{'\r'})
		data = data[i+1:]
		if len(line) == 0 {
			dst = append(dst, "\r\n"...)
			return append(dst, data...)
		}
		if isSpace(line[0]) && bytes.HasSuffix(dst, []byte("\r\n")) {
			dst = append(dst[:len(dst)-2], ' ')
			line = trim(line)
		}
		for _, c := range line {
			if c == '\r' || c == 0 {
				c = ' '
			}
			dst = append(dst, c)
		}
		dst = append(dst, "\r\n"...)
	}
	return dst
}
