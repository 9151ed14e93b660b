package carry

import (
	"regexp"
	"slices"
	"strings"

	"github.com/secp2psip/secp2psip/sipbridge/message"
)

// crosses tells whether a header field passes from one phone to the other, in
// either direction. It is a list of what is known to be harmless, since the
// other adapter may be anybody's: fields that route (Via, Route, Record-Route,
// Path, Service-Route), that claim an identity (P-Asserted-Identity and its
// kin, Identity), that carry credentials or ask for them (a challenge would
// fetch a digest of this phone's password), or that make a phone pick up by
// itself (Call-Info, Alert-Info, Answer-Mode) must not be on it. From, To,
// Call-ID, CSeq, Contact and Max-Forwards are written anew at every hop.
func crosses(name []byte) bool {
	switch strings.ToLower(string(name)) {
	case "accept", "accept-encoding", "accept-language", "allow", "allow-events", "u",
		"content-disposition", "content-encoding", "e", "content-language", "content-type", "c",
		"event", "o", "expires", "info-package", "mime-version", "min-expires", "min-se",
		"organization", "priority", "rack", "reason", "recv-info", "refer-sub", "replaces",
		"require", "retry-after", "rseq", "server", "session-expires", "x", "session-id",
		"subject", "s", "subscription-state", "supported", "k", "unsupported",
		"user-agent", "warning":
		return true
	}
	return false
}

// mayCross tells whether requests of that method pass inside a call. INVITE is
// also what begins one; ACK and CANCEL have rules of their own.
func mayCross(method string) bool {
	switch method {
	case "INVITE", "ACK", "BYE", "UPDATE", "INFO", "PRACK", "REFER", "NOTIFY", "MESSAGE", "OPTIONS", "SUBSCRIBE":
		return true
	}
	return false
}

// appendCrossing appends the fields of p that cross, out to the tunnel or from
// it. Without a body there is no Content-Type either.
func (c *call) appendCrossing(dst []byte, p *parsed, withBody, out bool) []byte {
	for i := range p.Fields {
		f := &p.Fields[i]
		if !crosses(f.Name) || !withBody && strings.HasPrefix(strings.ToLower(string(f.Name)), "content-") || !plain(string(f.Value)) {
			continue
		}
		if !withBody && f.ID == message.ContentType {
			continue
		}
		value := string(f.Value)
		switch strings.ToLower(string(f.Name)) {
		case "supported", "k":
			if value = without(value, c.withheld(p, out)); value == "" {
				continue
			}
		case "warning":
			value = warnAgent.ReplaceAllString(value, "${1}phone \"")
		case "replaces":
			value = c.e.rename(value, out)
		}
		dst = appendField(dst, string(f.Name), value)
	}
	return dst
}

// warnAgent finds who gives a warning, where that is a host (RFC 3261 §20.43):
// a phone's address is nobody's business.
var warnAgent = regexp.MustCompile(`((?:^|,)\s*\d{3} )[^\s",]*[.:][^\s",]* "`)

// withheld are options that the other phone must not think that it could use:
// those that concern a phone's own registrar, and, in an INVITE that rings several
// devices, reliable provisional answers (RFC 3262): each would have to be heard,
// and of their early media only one's is.
func (c *call) withheld(p *parsed, out bool) []string {
	tags := []string{"gruu", "outbound", "path"}
	if out && c.forked() && c.initial.p == p {
		tags = append(tags, "100rel")
	}
	return tags
}

// without strikes options from a list of them.
func without(list string, tags []string) string {
	var kept []string
	for tag := range strings.SplitSeq(list, ",") {
		tag = strings.TrimSpace(tag)
		if tag != "" && !slices.Contains(tags, strings.ToLower(tag)) {
			kept = append(kept, tag)
		}
	}
	return strings.Join(kept, ", ")
}

func appendField(dst []byte, name, value string) []byte {
	dst = append(dst, name...)
	dst = append(dst, ": "...)
	dst = append(dst, value...)
	return append(dst, "\r\n"...)
}
