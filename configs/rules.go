package configs

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/secp2psip/secp2psip/internal/joinlink"
)

// maxAddrs bounds what a node tells others about itself.
const maxAddrs = 8

// rules collects what is wrong.
type rules struct{ problems []Problem }

func (r *rules) add(key, what, mend string) {
	r.problems = append(r.problems, Problem{Key: key, What: what, Mend: mend})
}

func (r *rules) need(ok bool, key, what, mend string) {
	if !ok {
		r.add(key, what, mend)
	}
}

func (r *rules) between(key string, v, low, high int) {
	r.need(low <= v && v <= high, key, fmt.Sprintf("%d is not between %d and %d", v, low, high), "choose a number in that range")
}

func (r *rules) lasts(key string, d, low, high Duration) {
	r.need(low <= d && d <= high, key, fmt.Sprintf("%s is not between %s and %s", d, low, high), "choose a duration in that range")
}

func (r *rules) each(key string, list []string, check func(string) (what, mend string)) {
	for i, v := range list {
		if what, mend := check(v); what != "" {
			r.add(fmt.Sprintf("%s[%d]", key, i), what, mend)
		}
	}
}

// subset wants a non-empty list of different words out of allowed.
func (r *rules) subset(key string, list []string, allowed ...string) {
	r.need(len(list) > 0, key, "the list is empty", "name at least one of "+strings.Join(allowed, ", "))
	for i, v := range list {
		at := fmt.Sprintf("%s[%d]", key, i)
		r.need(slices.Contains(allowed, v), at, fmt.Sprintf("%q is not one of %s", v, strings.Join(allowed, ", ")), nearest(v, allowed))
		r.need(!slices.Contains(list[:i], v), at, fmt.Sprintf("%q stands there twice", v), "remove one of the two")
	}
}

// overlay wants a lower-case host name of at most 64 bytes.
func (r *rules) overlay(key, v string) {
	r.need(joinlink.IsHostName(v) && len(v) <= 64 && v == strings.ToLower(v), key, fmt.Sprintf("%q is not a lower-case host name", v),
		"use letters, digits, hyphens and dots, as in lan.example; the name need not exist in the DNS")
}

func (r *rules) listen(key, v string) {
	host, port, err := net.SplitHostPort(v)
	if err == nil && host != "" {
		_, err = netip.ParseAddr(host)
	}
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	r.need(err == nil, key, fmt.Sprintf("%q is not IP:PORT", v), `write it like ":5870" for every address, or "192.168.1.10:5870", "[fd00::1]:5870"`)
}

// advertise wants addresses, host names too if names. Without a port they get
// the one of listen, unless that is not known before it is bound.
func (r *rules) advertise(key string, list []string, names bool, listen netip.AddrPort) {
	r.need(len(list) <= maxAddrs, key, fmt.Sprintf("%d addresses are too many", len(list)), fmt.Sprintf("keep at most %d", maxAddrs))
	r.each(key, list, func(v string) (string, string) {
		host, port, ok := splitAddr(v)
		ip, err := netip.ParseAddr(host)
		switch {
		case !ok, err != nil && (!names || !joinlink.IsHostName(host)), err == nil && ip.Zone() != "":
			return fmt.Sprintf("%q is not an address", v), `write it like "192.168.1.10", "192.168.1.10:5870" or "[fd00::1]:5870"`
		case err == nil && ip.IsUnspecified(), port == "0":
			return fmt.Sprintf("%q is not an address that others can reach", v), "give the host's own address"
		case port == "" && listen.IsValid() && listen.Port() == 0:
			return fmt.Sprintf("%q has no port, and listen takes any free one", v), "give a port here or there"
		}
		return "", ""
	})
}

// networks wants prefixes, at most 32.
func (r *rules) networks(key string, list []string) {
	const most = 32
	r.need(len(list) <= most, key, fmt.Sprintf("%d networks are too many", len(list)), fmt.Sprintf("keep at most %d", most))
	r.each(key, list, func(v string) (string, string) {
		if p, err := netip.ParsePrefix(v); err != nil || p != p.Masked() {
			return fmt.Sprintf("%q is not a network", v), `write it like "203.0.113.0/24" or "2001:db8:1::/48"`
		}
		return "", ""
	})
}

// common checks what both kinds have: the words with an enumeration, and metrics.
func (r *rules) common(c any, m Metrics) {
	for _, f := range fieldsOf(c) {
		if len(f.OneOf) == 0 {
			continue
		}
		if v := f.value.String(); !slices.Contains(f.OneOf, v) {
			r.add(f.Key, fmt.Sprintf("%q is not one of %s", v, strings.Join(f.OneOf, ", ")), nearest(v, f.OneOf))
		}
	}
	if m.Listen != "" {
		ap, err := netip.ParseAddrPort(m.Listen)
		r.need(err == nil, "metrics.listen", fmt.Sprintf("%q is not IP:PORT", m.Listen), `write it like "127.0.0.1:9570"`)
		r.need(err != nil || ap.Addr().IsLoopback(), "metrics.listen", fmt.Sprintf("%q is not a loopback address and metrics have no password", m.Listen), `use "127.0.0.1:9570" and a proxy if others must see them`)
	}
}

// userPart accepts what can be one name or number, roughly: the daemon knows
// the exact rule.
func userPart(v string) (what, mend string) {
	if v == "" || len(v) > 64 || strings.ContainsAny(v, "@:;<>?&=,\"/ \t\r\n\x00") {
		return fmt.Sprintf("%q is not a name", v), `give the part before the @, such as "bob" or "101"`
	}
	return "", ""
}

// listenAddr reads what rules.listen accepted; no host means both families.
func listenAddr(v string) netip.AddrPort {
	if strings.HasPrefix(v, ":") {
		v = "[::]" + v
	}
	ap, err := netip.ParseAddrPort(v)
	if err != nil {
		return netip.AddrPort{}
	}
	return ap
}

// splitAddr splits HOST, HOST:PORT, IPv6, [IPv6] and [IPv6]:PORT.
func splitAddr(v string) (host, port string, ok bool) {
	if _, err := netip.ParseAddr(v); err == nil {
		return v, "", true
	}
	if inner, found := strings.CutPrefix(v, "["); found && strings.HasSuffix(inner, "]") {
		return strings.TrimSuffix(inner, "]"), "", true
	}
	if !strings.Contains(v, ":") {
		return v, "", true
	}
	host, port, err := net.SplitHostPort(v)
	if err != nil {
		return "", "", false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return host, port, err == nil
}

func withPort(list []string, port uint16) []string {
	out := make([]string, 0, len(list))
	for _, v := range list {
		host, own, ok := splitAddr(v)
		if !ok {
			continue
		}
		if own == "" {
			own = strconv.Itoa(int(port))
		}
		out = append(out, net.JoinHostPort(host, own))
	}
	return out
}

func addrPorts(list []string) []netip.AddrPort {
	var out []netip.AddrPort
	for _, text := range list {
		if ap, err := netip.ParseAddrPort(text); err == nil {
			out = append(out, ap)
		}
	}
	return out
}
