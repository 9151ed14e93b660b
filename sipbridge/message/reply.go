package message

import (
	"net/netip"
	"strconv"
)

// AppendStatus appends a status line. The reason must have no control
// characters; see Clean.
func AppendStatus(dst []byte, code int, reason string) []byte {
	dst = append(dst, "SIP/2.0 "...)
	dst = strconv.AppendInt(dst, int64(code), 10)
	dst = append(dst, ' ')
	dst = append(dst, reason...)
	return append(dst, "\r\n"...)
}

// AppendEcho appends the fields that every response repeats from its request
// (RFC 3261 §8.2.6): Via, with received and rport filled in (§18.2.1, RFC 3581
// §4), From, To with the tag unless it has one, Call-ID, CSeq and Timestamp.
// Fields that a broken request does not have are left out. req must come from
// Check on m.
func (m *Message) AppendEcho(dst []byte, req *Request, tag []byte, source netip.AddrPort) []byte {
	first := true
	for i := range m.Fields {
		f := &m.Fields[i]
		if f.ID != Via {
			continue
		}
		dst = append(dst, "Via: "...)
		if first {
			dst = req.Hop.appendTo(dst, source)
			first = false
		} else {
			dst = append(dst, f.Value...)
		}
		dst = append(dst, "\r\n"...)
	}
	dst = m.appendField(dst, From, "From: ")
	if m.Has(To) {
		dst = append(dst, "To: "...)
		dst = append(dst, m.Get(To)...)
		if len(tag) > 0 && len(req.To.URI) > 0 && len(req.To.Tag()) == 0 {
			dst = append(dst, ";tag="...)
			dst = append(dst, tag...)
		}
		dst = append(dst, "\r\n"...)
	}
	dst = m.appendField(dst, CallID, "Call-ID: ")
	dst = m.appendField(dst, CSeq, "CSeq: ")
	return m.appendField(dst, Timestamp, "Timestamp: ")
}

func (m *Message) appendField(dst []byte, id ID, name string) []byte {
	if !m.Has(id) {
		return dst
	}
	dst = append(dst, name...)
	dst = append(dst, m.Get(id)...)
	return append(dst, "\r\n"...)
}

// appendTo appends the topmost Via line's value with received and rport.
func (h *Hop) appendTo(dst []byte, source netip.AddrPort) []byte {
	ip := source.Addr().Unmap()
	if h.Rport {
		dst = append(dst, h.value[:h.rport]...)
		if dst[len(dst)-1] != '=' { // ";rport=" with nothing behind it is the same
			dst = append(dst, '=')
		}
		dst = strconv.AppendUint(dst, uint64(source.Port()), 10)
		dst = append(dst, h.value[h.rport:]...)
	} else {
		dst = append(dst, h.value...)
	}
	if a, err := netip.ParseAddr(text(h.Host)); h.Rport || err != nil || a.Unmap() != ip {
		dst = append(dst, ";received="...)
		dst = ip.AppendTo(dst)
	}
	return append(dst, h.others...)
}

// ReplyTo returns where a response goes over UDP (RFC 3261 §18.2.2, RFC 3581
// §4): to the source's address, at the source's port where rport asks for
// that, else at the port of the sent-by. maddr is not followed, so that nobody
// can have answers sent to somebody else.
func (h *Hop) ReplyTo(source netip.AddrPort) netip.AddrPort {
	if h.Rport {
		return source
	}
	port := h.Port
	if port == 0 {
		port = 5060
	}
	return netip.AddrPortFrom(source.Addr(), port)
}

// AppendEnd appends the end of a message without a body.
func AppendEnd(dst []byte) []byte { return append(dst, "Content-Length: 0\r\n\r\n"...) }

// AppendWarning appends a Warning field with code 399 (RFC 3261 §20.43).
func AppendWarning(dst []byte, agent, detail string) []byte {
	dst = append(dst, "Warning: 399 "...)
	dst = append(dst, agent...)
	dst = append(dst, ` "`...)
	for _, c := range []byte(Clean(detail, 200)) {
		if c == '"' || c == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, c)
	}
	return append(dst, "\"\r\n"...)
}

// Clean makes text fit for a header: control characters become spaces, and at
// most max bytes stay, cut between characters.
func Clean(s string, max int) string {
	dirty := len(s) > max
	for i := 0; i < len(s) && !dirty; i++ {
		dirty = s[i] < ' ' || s[i] == 0x7f
	}
	if !dirty {
		return s
	}
	out := make([]byte, 0, min(len(s), max))
	for _, r := range s {
		if r < ' ' || r == 0x7f {
			r = ' '
		}
		next := append(out, string(r)...)
		if len(next) > max {
			break
		}
		out = next
	}
	return string(out)
}
