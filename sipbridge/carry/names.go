package carry

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/sipbridge/message"
)

// escapeUser writes a user part as it may stand in a URI (RFC 3261 §25.1).
func escapeUser(user string) string {
	var b strings.Builder
	for i := range len(user) {
		c := user[i]
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if alnum || strings.IndexByte("-_.!~*'()&=+$,/", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// overlayURI is the name as adapters write it to each other.
func overlayURI(a identity.AOR) string {
	return "sip:" + escapeUser(a.User()) + "@" + a.Overlay()
}

// partyURI is the name at the adapter's own address, for From and To.
func partyURI(a identity.AOR, f Flow) string {
	return "sip:" + escapeUser(a.User()) + "@" + hostOf(f.Local)
}

// hereURI is the name at the adapter's own address, as the phone on that flow
// reaches it. A phone that calls it back, now or from its list of calls,
// comes to its adapter, which takes its own addresses for the overlay's name.
func hereURI(a identity.AOR, f Flow) string {
	uri := partyURI(a, f)
	if f.Transport == "tcp" {
		uri += ";transport=tcp"
	}
	return uri
}

// routeURI is the adapter as a Record-Route names it.
func routeURI(f Flow) string {
	uri := "sip:" + hostOf(f.Local) + ";lr"
	if f.Transport == "tcp" {
		uri += ";transport=tcp"
	}
	return uri
}

// hostOf writes an address for a URI, without the default port.
func hostOf(a netip.AddrPort) string {
	if a.Port() != 5060 {
		return sentBy(a)
	}
	ip := a.Addr().Unmap().WithZone("")
	if ip.Is4() {
		return ip.String()
	}
	return "[" + ip.String() + "]"
}

// sentBy writes an address for a Via, with its port.
func sentBy(a netip.AddrPort) string {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port()).String()
}

// partyHere is how a phone is shown the person at the other end: the verified
// name, and nothing that the other side says about itself.
func partyHere(a identity.AOR, f Flow) string {
	name := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(a.User())
	return `"` + name + `" <` + partyURI(a, f) + ">"
}

// assertedIdentity is the verified person as P-Asserted-Identity names them
// (RFC 3325 §9.1): phones show the display name rather than the URI.
func assertedIdentity(a identity.AOR) string {
	name := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(a.User())
	return `"` + name + `" <` + overlayURI(a) + ">"
}

// inOverlay returns whom a URI of a phone names: the overlay's own name, this
// host, and the adapter's address are all the overlay. Anything else is
// elsewhere, and ok is false. named is Config.Name, for what our phone says.
func inOverlay(uri []byte, f Flow, overlay string, named func(user string) string) (a identity.AOR, u message.URI, ok bool) {
	u, err := message.ParseURI(uri)
	if err != nil || !u.IsSIP() {
		return a, u, false
	}
	host := strings.ToLower(string(u.Host))
	ip, isIP := u.Addr()
	switch {
	case host == overlay, host == "localhost":
	case isIP && (ip.IsLoopback() || ip == f.Local.Addr().Unmap()):
	default:
		return a, u, false
	}
	name := u.Name()
	if named != nil {
		name = named(name)
	}
	a, err = identity.NewAOR(name, overlay)
	return a, u, err == nil
}

// replacesOf keeps the one URI header that a transfer needs (RFC 3891); a URI
// could ask the phone to send any other header or method.
func replacesOf(headers []byte, rename func(string) string) string {
	for h := range strings.SplitSeq(strings.TrimPrefix(string(headers), "?"), "&") {
		if name, value, ok := strings.Cut(h, "="); ok && strings.EqualFold(name, "Replaces") {
			return "?Replaces=" + rename(value)
		}
	}
	return ""
}

// withTag returns a From or To value with that tag instead of its own.
func withTag(value, tag string) string {
	a, err := message.ParseAddress([]byte(value))
	if err != nil {
		return value
	}
	out := strings.TrimSuffix(value, string(a.Params))
	if !strings.Contains(out, "<") {
		out = "<" + out + ">"
	}
	for p := range strings.SplitSeq(string(a.Params), ";") {
		name, _, _ := strings.Cut(p, "=")
		if p = strings.TrimSpace(p); p != "" && !strings.EqualFold(strings.TrimSpace(name), "tag") {
			out += ";" + p
		}
	}
	if tag != "" {
		out += ";tag=" + tag
	}
	return out
}
