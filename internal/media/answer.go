package media

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"
)

// Answer returns the session description that answers offer (RFC 3264 §6): the
// first audio stream with PCMU or PCMA is accepted, with telephone-event if
// offered, and every other stream is refused with port 0. An empty offer gets
// an offer of our own. It returns ErrMalformed, ErrTooLong, or ErrNoCodec when
// there is no such stream. A later offer of the same call is answered with a
// higher version of the same session.
func (s *EchoSession) Answer(offer []byte) ([]byte, error) {
	local := s.Addr()
	if len(offer) == 0 {
		own := stream{formats: []string{"0", "8", "101"}, direction: "sendrecv",
			maps: []string{"0 PCMU/8000", "8 PCMA/8000", "101 telephone-event/8000"}}
		return s.describe([]string{own.describe(local.Port())}, own, netip.Addr{}), nil
	}
	d, err := parse(offer)
	if err != nil {
		return nil, err
	}
	var lines []string
	var chosen *stream
	var from netip.Addr
	for _, m := range d.MediaDescriptions {
		if st, ok := accept(d, m); ok && chosen == nil {
			chosen, from = &st, connection(d, m)
			lines = append(lines, st.describe(local.Port()))
			continue
		}
		lines = append(lines, "m="+m.MediaName.Media+" 0 "+strings.Join(m.MediaName.Protos, "/")+" "+
			strings.Join(m.MediaName.Formats, " ")+"\r\n")
	}
	if chosen == nil {
		return nil, fmt.Errorf("%w: the echo test speaks G.711 without encryption", ErrNoCodec)
	}
	return s.describe(lines, *chosen, from), nil
}

// connection is the address that the stream is offered at, if it is one.
func connection(d *sdp.SessionDescription, m *sdp.MediaDescription) netip.Addr {
	c := m.ConnectionInformation
	if c == nil {
		c = d.ConnectionInformation
	}
	if c == nil || c.Address == nil {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(c.Address.Address)
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap()
}

// describe writes the description and lets the stream's payload types in.
func (s *EchoSession) describe(streams []string, accepted stream, from netip.Addr) []byte {
	local := s.Addr()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	s.source, s.offered = netip.AddrPort{}, from
	s.types = [128]bool{}
	for _, f := range accepted.formats {
		if n, err := strconv.Atoi(f); err == nil && n >= 0 && n < 128 {
			s.types[n] = true
		}
	}
	where := "IN " + familyOf(local.Addr()) + " " + local.Addr().WithZone("").String()
	return fmt.Appendf(nil, "v=0\r\no=- %d %d %s\r\ns=echo\r\nc=%s\r\nt=0 0\r\n%s",
		s.id, s.version, where, where, strings.Join(streams, ""))
}

// stream is one accepted audio stream.
type stream struct {
	formats   []string // payload types
	maps      []string // values of a=rtpmap
	fmtp      []string
	proto     string // "" means RTP/AVP
	direction string // what we do
	ptime     string
}

// accept tells whether the echo test can take this stream, and as what.
func accept(d *sdp.SessionDescription, m *sdp.MediaDescription) (stream, bool) {
	proto := strings.Join(m.MediaName.Protos, "/")
	if m.MediaName.Media != "audio" || m.MediaName.Port.Value == 0 || proto != "RTP/AVP" && proto != "RTP/AVPF" {
		return stream{}, false
	}
	st := stream{proto: proto, direction: answerTo(d, m)}
	voice := false
	for _, f := range m.MediaName.Formats {
		codec := codecOf(m, f)
		if codec == "" {
			continue
		}
		voice = voice || codec != "telephone-event/8000"
		st.formats = append(st.formats, f)
		st.maps = append(st.maps, f+" "+codec)
		if v, ok := attribute(m, "fmtp", f); ok && codec == "telephone-event/8000" {
			st.fmtp = append(st.fmtp, v)
		}
	}
	if v, ok := m.Attribute("ptime"); ok {
		if n, err := strconv.Atoi(v); err == nil && n > 0 && n <= 200 {
			st.ptime = v
		}
	}
	return st, voice
}

// codecOf names the codec of a payload type, "" if it is none of ours. 0 and 8
// need no rtpmap (RFC 3551 §6).
func codecOf(m *sdp.MediaDescription, format string) string {
	name, ok := attribute(m, "rtpmap", format)
	if !ok {
		switch format {
		case "0":
			return "PCMU/8000"
		case "8":
			return "PCMA/8000"
		}
		return ""
	}
	_, name, _ = strings.Cut(name, " ")
	name = strings.TrimSuffix(strings.TrimSpace(name), "/1")
	for _, known := range []string{"PCMU/8000", "PCMA/8000", "telephone-event/8000"} {
		if strings.EqualFold(name, known) {
			return known
		}
	}
	return ""
}

// attribute finds the value of a=key:format … .
func attribute(m *sdp.MediaDescription, key, format string) (string, bool) {
	for _, a := range m.Attributes {
		if f, _, _ := strings.Cut(a.Value, " "); a.Key == key && f == format {
			return a.Value, true
		}
	}
	return "", false
}

// answerTo mirrors the direction of an offered stream (RFC 3264 §6.1).
func answerTo(d *sdp.SessionDescription, m *sdp.MediaDescription) string {
	for _, attrs := range [][]sdp.Attribute{m.Attributes, d.Attributes} {
		switch {
		case slices.ContainsFunc(attrs, func(a sdp.Attribute) bool { return a.Key == "sendonly" }):
			return "recvonly"
		case slices.ContainsFunc(attrs, func(a sdp.Attribute) bool { return a.Key == "recvonly" }):
			return "sendonly"
		case slices.ContainsFunc(attrs, func(a sdp.Attribute) bool { return a.Key == "inactive" }):
			return "inactive"
		case slices.ContainsFunc(attrs, func(a sdp.Attribute) bool { return a.Key == "sendrecv" }):
			return "sendrecv"
		}
	}
	return "sendrecv"
}

func (st stream) describe(port uint16) string {
	proto := st.proto
	if proto == "" {
		proto = "RTP/AVP"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "m=audio %d %s %s\r\n", port, proto, strings.Join(st.formats, " "))
	for _, m := range st.maps {
		b.WriteString("a=rtpmap:" + m + "\r\n")
	}
	for _, f := range st.fmtp {
		b.WriteString("a=fmtp:" + f + "\r\n")
	}
	if st.ptime != "" {
		b.WriteString("a=ptime:" + st.ptime + "\r\n")
	}
	b.WriteString("a=" + st.direction + "\r\n")
	return b.String()
}
