package message

import "bytes"

// Hop is the topmost Via value (RFC 3261 §20.42).
type Hop struct {
	Transport []byte
	Host      []byte
	Port      uint16 // 0 if none
	Branch    []byte
	Rport     bool // asked for (RFC 3581 §3), and not filled in
	// Fault is what is wrong with this value where its sender can be answered
	// all the same: what follows the sent-by cannot be read or is there twice,
	// or it is of another version of SIP.
	Fault error

	value  []byte // this value
	others []byte // the further values of the same line, beginning with ','
	rport  int    // where in value ";rport" ends
}

// Top reads the topmost Via value. It fails where that does not say whom to
// answer.
func (m *Message) Top() (Hop, error) {
	v := m.Get(Via)
	var h Hop
	end := indexUnquoted(v, ",")
	if end < 0 {
		end = len(v)
	}
	h.value, h.others = trim(v[:end]), v[end:]
	version, sentBy, ok := h.protocol(h.value)
	if !ok {
		return h, malformed("a Via has a broken protocol")
	}
	params := len(sentBy)
	if i := bytes.IndexByte(sentBy, ';'); i >= 0 {
		params = i
	}
	if h.Host, h.Port, ok = hostPort(trim(sentBy[:params])); !ok {
		return h, malformed("a Via has no valid sent-by")
	}
	h.Fault = h.params(sentBy[params:])
	if h.Fault == nil && string(version) != "2.0" {
		h.Fault = malformed("a Via is of another version of SIP")
	}
	if h.Fault == nil && len(h.others) > 0 && len(trim(h.others[1:])) == 0 {
		h.Fault = malformed("a list of Via values ends in a comma")
	}
	return h, nil
}

func (h *Hop) params(b []byte) error {
	branched := false
	for len(b) > 0 {
		name, value, rest, valid := nextParam(b)
		if !valid {
			return malformed("a Via has a broken parameter")
		}
		switch {
		case equalFold(name, "branch"):
			if branched {
				return malformed("a Via has two branches")
			}
			h.Branch, branched = value, true
		case equalFold(name, "rport"):
			if h.Rport = len(value) == 0; h.Rport {
				h.rport = len(h.value) - len(rest)
			}
		}
		b = rest
	}
	return nil
}

// protocol reads "SIP/2.0/UDP" and the white space behind it; there may be
// more around the slashes.
func (h *Hop) protocol(b []byte) (version, rest []byte, ok bool) {
	name, rest, ok1 := bytes.Cut(b, []byte{'/'})
	version, rest, ok2 := bytes.Cut(rest, []byte{'/'})
	rest, version = trim(rest), trim(version)
	i := bytes.IndexAny(rest, " \t")
	if !ok1 || !ok2 || i < 0 || !equalFold(trim(name), "sip") || !isToken(version) {
		return nil, nil, false
	}
	h.Transport = rest[:i]
	return version, trim(rest[i:]), isToken(h.Transport)
}
