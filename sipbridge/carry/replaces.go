package carry

import (
	"fmt"
	"strings"

	"github.com/secp2psip/secp2psip/sipbridge/message"
)

// A phone that takes over a call, or sends somebody to, names it by Call-ID and
// tags (RFC 3891). Between adapters a call has the Call-ID that was signed;
// the phone that made it may know it by another one.

// replaced are the parts of a Replaces value.
type replaced struct {
	callID, toTag, fromTag string
	rest                   string // further parameters, each after a semicolon
}

// readReplaces reads a Replaces value; ok is false for what is none.
func readReplaces(value string) (r replaced, ok bool) {
	id, params, _ := strings.Cut(value, ";")
	r.callID = strings.TrimSpace(id)
	for p := range strings.SplitSeq(params, ";") {
		name, v, _ := strings.Cut(strings.TrimSpace(p), "=")
		switch strings.ToLower(name) {
		case "to-tag":
			r.toTag = v
		case "from-tag":
			r.fromTag = v
		case "":
		default:
			r.rest += ";" + strings.TrimSpace(p)
		}
	}
	return r, r.callID != "" && r.toTag != "" && r.fromTag != "" && plain(value)
}

func (r replaced) String() string {
	return r.callID + ";to-tag=" + r.toTag + ";from-tag=" + r.fromTag + r.rest
}

// rename returns the Replaces value for the other side of this adapter, where
// it names a call that goes through it: out is the direction to the tunnel. In
// that, from-tag is our phone's and to-tag the other's, in the other direction
// the reverse. Any other value stays.
func (e *Engine) rename(value string, out bool) string {
	r, ok := readReplaces(value)
	if !ok {
		return value
	}
	own, other := r.fromTag, r.toTag
	if !out {
		own, other = other, own
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.byID {
		known, new := c.callID, c.wireID
		if !out {
			known, new = new, known
		}
		if known != r.callID || known == new {
			continue
		}
		for _, k := range c.keys {
			if k.fromTag == own && k.toTag == other {
				r.callID = new
				return r.String()
			}
		}
	}
	return value
}

// renameEscaped does that to a Replaces header within a URI.
func (e *Engine) renameEscaped(value string, out bool) string {
	plainly, ok := message.Unescape([]byte(value))
	if !ok {
		return value
	}
	if new := e.rename(plainly, out); new != plainly {
		return escapeHeader(new)
	}
	return value
}

// renameIn does that in a transfer's target. Of a call that is transferred to
// here, the third adapter knows more than this one.
func (c *call) renameIn(out bool) func(string) string {
	if !out {
		return func(value string) string { return value }
	}
	return func(value string) string { return c.e.renameEscaped(value, true) }
}

// escapeHeader writes a value as it may stand among a URI's headers (RFC 3261
// §25.1, hvalue).
func escapeHeader(value string) string {
	var b strings.Builder
	for i := range len(value) {
		c := value[i]
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if alnum || strings.IndexByte("-_.!~*'()", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
