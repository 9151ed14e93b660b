// Package joinlink reads and writes the join link: the one line that takes an
// adapter into an overlay.
//
//	secp2psip://HOST:PORT[,HOST:PORT…]/OVERLAY#v1.PAYLOAD[.NAME]
//
//	HOST:PORT   where the bootstrap server answers: 1 to 8 host names, IPv4
//	            addresses or IPv6 addresses in brackets, each with its UDP port
//	OVERLAY     the overlay's name, a lower-case host name
//	PAYLOAD     base64url without padding (RFC 4648 §5) of
//	              root     32 bytes  SHA-256 of the root certificate (DER)
//	              secret   16 bytes  the invitation; left out in open mode
//	              check     4 bytes  SHA-256("secp2psip join link" ‖ link with
//	                                 root and secret but without check)[:4]
//	NAME        the user part that the invitation is for, percent-encoded
//
// What follows the # is a fragment (RFC 3986 §3.5): a program that opens the
// link by mistake does not send the secret over the network. The check finds a
// link that was cut short or changed in copying, so that a wrong root
// fingerprint means another server and not a typing error.
package joinlink

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Scheme begins every join link.
const Scheme = "secp2psip://"

// Bounds of a link's parts; lengths in bytes.
const (
	MaxLen     = 2048
	MaxAddrs   = 8
	MaxOverlay = 64
	MaxUser    = 64
	RootLen    = sha256.Size
	SecretLen  = 16
)

const (
	version  = "v1."
	checkLen = 4
	context  = "secp2psip join link"
)

// Link is what a join link says. It is a secret as long as the invitation is.
type Link struct {
	Addrs   []string        // HOST:PORT of the bootstrap server, 1 to MaxAddrs
	Overlay string          // the overlay's name
	Root    [RootLen]byte   // SHA-256 of the root certificate in DER
	User    string          // the user part that is invited, "" where the adapter may choose
	Secret  [SecretLen]byte // the invitation; zero in an overlay that anyone may join
}

// Open tells whether the link carries no invitation.
func (l Link) Open() bool { return l.Secret == [SecretLen]byte{} }

// Validate returns an error that wraps ErrLink if String would not give a link
// that Parse accepts.
func (l Link) Validate() error {
	if n := len(l.Addrs); n == 0 || n > MaxAddrs {
		return fmt.Errorf("%w: it has %d addresses; 1 to %d are possible", ErrLink, n, MaxAddrs)
	}
	for _, a := range l.Addrs {
		if err := checkAddr(a); err != nil {
			return err
		}
	}
	if !IsHostName(l.Overlay) || len(l.Overlay) > MaxOverlay || l.Overlay != strings.ToLower(l.Overlay) {
		return fmt.Errorf("%w: %q is not an overlay name", ErrLink, l.Overlay)
	}
	if len(l.User) > MaxUser || !utf8.ValidString(l.User) {
		return fmt.Errorf("%w: the name in it is not UTF-8 of at most %d bytes", ErrLink, MaxUser)
	}
	return nil
}

// String returns the link in its one canonical form.
func (l Link) String() string {
	payload := append([]byte(nil), l.Root[:]...)
	if !l.Open() {
		payload = append(payload, l.Secret[:]...)
	}
	sum := l.check(payload)
	return l.text(append(payload, sum[:]...))
}

func (l Link) text(payload []byte) string {
	s := Scheme + strings.Join(l.Addrs, ",") + "/" + l.Overlay + "#" + version +
		base64.RawURLEncoding.EncodeToString(payload)
	if l.User != "" {
		s += "." + url.PathEscape(l.User)
	}
	return s
}

func (l Link) check(payload []byte) [checkLen]byte {
	sum := sha256.Sum256([]byte(context + l.text(payload)))
	return [checkLen]byte(sum[:checkLen])
}

// Parse reads a link. White space around it is dropped; anything else must be
// the canonical form, so that two texts never name the same link. Errors wrap
// ErrLink, and ErrDamaged where the check does not fit.
func Parse(text string) (Link, error) {
	var l Link
	text = strings.TrimSpace(text)
	if len(text) > MaxLen {
		return l, fmt.Errorf("%w: it is longer than %d characters", ErrLink, MaxLen)
	}
	rest, ok := strings.CutPrefix(text, Scheme)
	if !ok {
		return l, fmt.Errorf("%w: it must begin with %s", ErrLink, Scheme)
	}
	place, fragment, ok := strings.Cut(rest, "#")
	if !ok {
		return l, fmt.Errorf("%w: the part after # is missing; put the link in quotes when you type it into a shell", ErrLink)
	}
	addrs, overlay, ok := strings.Cut(place, "/")
	if !ok {
		return l, fmt.Errorf("%w: the overlay's name is missing after the address", ErrLink)
	}
	l.Addrs, l.Overlay = strings.Split(addrs, ","), overlay
	if err := l.parseFragment(fragment); err != nil {
		return Link{}, err
	}
	if err := l.Validate(); err != nil {
		return Link{}, err
	}
	if l.String() != text {
		return Link{}, ErrDamaged
	}
	return l, nil
}

func (l *Link) parseFragment(fragment string) error {
	rest, ok := strings.CutPrefix(fragment, version)
	if !ok {
		return fmt.Errorf("%w: the part after # must begin with %s; a newer program may have made it", ErrLink, version)
	}
	encoded, user, named := strings.Cut(rest, ".")
	payload, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		return ErrDamaged
	}
	switch len(payload) {
	case RootLen + checkLen:
	case RootLen + SecretLen + checkLen:
		copy(l.Secret[:], payload[RootLen:])
	default:
		return ErrDamaged
	}
	copy(l.Root[:], payload)
	if !named {
		return nil
	}
	if l.User, err = url.PathUnescape(user); err != nil || l.User == "" {
		return ErrDamaged
	}
	return nil
}

// checkAddr accepts HOST:PORT with a port of 1 to 65535 in decimal.
func checkAddr(addr string) error {
	host, port, ok := cutPort(addr)
	n, err := strconv.ParseUint(port, 10, 16)
	if !ok || err != nil || n == 0 || strconv.FormatUint(n, 10) != port {
		return fmt.Errorf("%w: %q is not HOST:PORT", ErrLink, addr)
	}
	if inner, found := strings.CutPrefix(host, "["); found {
		ip, err := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		if err != nil || !ip.Is6() || ip.Zone() != "" || !strings.HasSuffix(host, "]") {
			return fmt.Errorf("%w: %q is not an IPv6 address in brackets", ErrLink, host)
		}
		return nil
	}
	if !IsHostName(host) {
		return fmt.Errorf("%w: %q is not a host", ErrLink, host)
	}
	return nil
}

func cutPort(addr string) (host, port string, ok bool) {
	i := strings.LastIndexByte(addr, ':')
	if i < 0 {
		return "", "", false
	}
	return addr[:i], addr[i+1:], true
}

// IsHostName says whether a text is a host name or an IPv4 address: at most 253
// bytes, labels of 1 to 63 letters, digits and hyphens (RFC 1123 §2.1).
func IsHostName(host string) bool {
	if host == "" || len(host) > 253 {
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range label {
			if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' {
				return false
			}
		}
	}
	return true
}
