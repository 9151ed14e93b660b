package media

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"
)

// A session description says in its c= lines where the media are. What phones
// honestly say beside that (ICE, RTCP, alternatives) stands in attributes that
// have a meaning, and a relay leaves it out. What a phone could seek media at and
// stands nowhere where one looks for it is hidden, and refused.

// checkHidden returns ErrHidden for a description with a second address. body is
// what d was read from.
func checkHidden(body []byte, d *sdp.SessionDescription) error {
	if connections(body) > 1 {
		return fmt.Errorf("%w: two c= lines for one stream", ErrHidden)
	}
	if err := checkAttributes(d.Attributes); err != nil {
		return err
	}
	var first string
	for _, m := range d.MediaDescriptions {
		if err := checkAttributes(m.Attributes); err != nil {
			return err
		}
		host := hostOf(m, d.ConnectionInformation)
		if m.MediaName.Port.Value == 0 || host == "" {
			continue
		}
		if err := checkRTCP(m, host); err != nil {
			return err
		}
		if first == "" {
			first = host
		}
		if host != first {
			return fmt.Errorf("%w: its streams are at different hosts", ErrHidden)
		}
	}
	return nil
}

// connections is the highest number of c= lines in one section. RFC 8866 §5.7
// allows several for multicast only.
func connections(body []byte) (most int) {
	n := 0
	for line := range bytes.Lines(body) {
		switch {
		case bytes.HasPrefix(line, []byte("m=")):
			n = 0
		case bytes.HasPrefix(line, []byte("c=")):
			n++
			most = max(most, n)
		}
	}
	return most
}

// hostOf names the host at which a stream is, "" where that is none: a stream on
// hold (RFC 3264 §8.4) or in a group, or a description without c= line. All loopback addresses
// are one host.
func hostOf(m *sdp.MediaDescription, session *sdp.ConnectionInformation) string {
	c := m.ConnectionInformation
	if c == nil {
		c = session
	}
	if c == nil || c.Address == nil {
		return ""
	}
	return sameHost(c.Address.Address)
}

func sameHost(text string) string {
	host, _, _ := strings.Cut(text, "/")
	if isLoopback(host) {
		return "localhost"
	}
	a, err := netip.ParseAddr(host)
	switch {
	case err != nil:
		return strings.ToLower(host)
	case a.IsUnspecified(), a.IsMulticast(): // on hold; never relayed
		return ""
	}
	return a.Unmap().String()
}

// checkRTCP: RTCP is at the host of its stream (RFC 3605 allows others, and no
// phone needs one), or at one that the stream's candidates name.
func checkRTCP(m *sdp.MediaDescription, host string) error {
	v, _ := m.Attribute("rtcp")
	words := strings.Fields(v)
	if len(words) < 4 {
		return nil
	}
	at := sameHost(words[3])
	if at == "" || at == host {
		return nil
	}
	for _, a := range m.Attributes {
		if a.Key == "candidate" && slices.ContainsFunc(strings.Fields(a.Value), func(w string) bool { return sameHost(w) == at }) {
			return nil
		}
	}
	return fmt.Errorf("%w: a=rtcp leads to another host", ErrHidden)
}

// checkAttributes: an attribute of no known meaning names no place for media.
func checkAttributes(all []sdp.Attribute) error {
	for _, a := range all {
		if !aside(a.Key) && !speaksOfHosts(a.Key) && namesPlace(a.Value) {
			return fmt.Errorf("%w: in a=%s", ErrHidden, printable(a.Key))
		}
	}
	return nil
}

// speaksOfHosts tells whether an attribute names hosts at which no media are: a
// CNAME is user@host (RFC 5576 §6.1, RFC 3550 §6.5.1), a tool its maker's, a
// clock its server's (RFC 7273).
func speaksOfHosts(key string) bool {
	switch strings.ToLower(key) {
	case "ssrc", "tool", "ts-refclk":
		return true
	}
	return false
}

// namesPlace tells whether a text has a transport address in it: an IP address
// that is said to be one, or beside a port. An address alone is no such place; it
// may be a version number.
func namesPlace(text string) bool {
	words := wordsOf(text)
	for i, w := range words {
		if _, err := netip.ParseAddrPort(w); err == nil {
			return true
		}
		if _, err := netip.ParseAddr(w); err != nil {
			continue
		}
		if i > 0 && (strings.EqualFold(words[i-1], "IP4") || strings.EqualFold(words[i-1], "IP6")) {
			return true
		}
		if i+1 < len(words) {
			if n, err := strconv.ParseUint(strings.TrimPrefix(words[i+1], ":"), 10, 16); err == nil && n > 0 {
				return true
			}
		}
	}
	return false
}

func wordsOf(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t,;=/@<>[]\"()|", r) })
}
