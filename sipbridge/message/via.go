package message

import "bytes"

// Hop is the topmost Via value (RFC 3261 §20.42).
type Hop struct {
	Transport []byte
	Host      []byte
	Port      uint16 // 0 if none
	Branch    []byte
	Rport     bool // asked for (RFC 3581 §3), and not filled in

	value  []byte // this value
	others []byte // the further values of the same line, beginning with ','
	rport  int    // where in value ";rport" ends
}

// Top reads the topmost Via value.
func (m *Message) Top() (Hop, error) {
	v := m.Get(Via)
	var h Hop
	end := indexUnquoted(v, ",")
	if end < 0 {
		end = len(v)
	}
	h.value, h.others = trim(v[:end]), v[end:]
	proto, sentBy, ok := cutSpace(h.value)
	if !ok {
		return h, malformed("a Via has no sent-by")
	}
	if h.Transport, ok = cutProtocol(proto); !ok {
		return h, malformed("a Via has a broken protocol")
	}
	params := len(sentBy)
	if i := bytes.IndexByte(sentBy, ';'); i >= 0 {
		params = i
	}
	if h.Host, h.Port, ok = hostPort(trim(sentBy[:params])); !ok {
		return h, malformed("a Via has no valid sent-by")
	}
	return h, h.params(sentBy[params:])
}

func (h *Hop) params(b []byte) error {
	for len(b) > 0 {
		name, value, rest, valid := nextParam(b)
		if !valid {
			return malformed("a Via has a broken parameter")
		}
		switch {
		case equalFold(name, "branch"):
			h.Branch = value
		case equalFold(name, "rport"):
			if h.Rport = len(value) == 0; h.Rport {
				h.rport = len(h.value) - len(rest)
			}
		}
		b = rest
	}
	return nil
}

func cutSpace(b []byte) (head, tail []byte, ok bool) {
	for i, c := range b {
		// White space may stand around the slashes of the protocol.
		if isSpace(c) && i > 0 && b[i-1] != '/' {
			if tail = trim(b[i:]); len(tail) > 0 && tail[0] != '/' {
				return b[:i], tail, true
			}
		}
	}
	return nil, nil, false
}

// cutProtocol returns the transport of "SIP/2.0/UDP".
func cutProtocol(b []byte) (transport []byte, ok bool) {
	name, rest, ok1 := bytes.Cut(b, []byte{'/'})
	version, transport, ok2 := bytes.Cut(rest, []byte{'/'})
	if !ok1 || !ok2 || !equalFold(trim(name), "sip") || string(trim(version)) != "2.0" {
		return nil, false
	}
	transport = trim(transport)
	return transport, isToken(transport)
}
