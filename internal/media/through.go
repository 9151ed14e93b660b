package media

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"
)

// Bounds of a session description whose streams are relayed.
const (
	MaxStreams = 4  // relayed; further ones are answered with port 0
	maxLines   = 16 // m= lines at all
)

// Place is where the streams of a rewritten description are to be sought.
type Place struct {
	Addr netip.Addr
	// Port returns the port of the stream in the m= line with that index; 0
	// takes the stream out of the description (RFC 3264 §6).
	Port func(index int) uint16
}

// Stream is what a session description says of one stream that is relayed.
type Stream struct {
	Index int        // of its m= line
	Addr  netip.Addr // invalid if it is named by host name, or not at all
	Port  uint16
	RTCP  uint16 // port of its RTCP (RFC 3605), by default the next one

	Packets int         // a second, at most
	Bytes   int         // a second, of UDP payload, at most
	Clocks  [128]uint32 // Hz, of timestamps by payload type
}

// Through returns the session description for the other side of a relay: it
// seeks all media at the place, and nothing else in it names an address.
// Streams that are not UDP with RTP in it are taken out. What phones negotiate
// between each other (codecs, keys, fingerprints) stays, what concerns ways
// around the relay (ICE, RFC 8839; further addresses) goes. A stream that is
// held by the address 0.0.0.0 (RFC 3264 §8.4) stays so.
//
// Errors: ErrTooLong, ErrMalformed, ErrHidden, ErrNotCarried where there are streams and
// none of them can be relayed.
func Through(body []byte, to Place) (out []byte, streams []Stream, err error) {
	d, err := parse(body)
	if err != nil {
		return nil, nil, err
	}
	if len(d.MediaDescriptions) > maxLines {
		return nil, nil, fmt.Errorf("%w: %d streams, at most %d", ErrNotCarried, len(d.MediaDescriptions), maxLines)
	}
	session := d.ConnectionInformation
	wanted := offered(d) // before ports are taken out
	for i, m := range d.MediaDescriptions {
		held := isHeld(m, session)
		st, ok := readStream(i, m, session)
		var port uint16
		if ok && len(streams) < MaxStreams {
			port = to.Port(i)
		}
		if port != 0 {
			streams = append(streams, st)
		}
		place(m, port, to.Addr, held && port != 0)
	}
	if wanted != "" && len(streams) == 0 {
		return nil, nil, fmt.Errorf("%w: %s", ErrNotCarried, wanted)
	}
	d.Origin.Username, d.Origin.NetworkType = "-", "IN"
	d.Origin.AddressType, d.Origin.UnicastAddress = familyOf(to.Addr), plainAddr(to.Addr)
	d.ConnectionInformation = connectionAt(to.Addr)
	if namesAddress(string(d.SessionName)) {
		d.SessionName = "-"
	}
	d.SessionInformation = nil
	d.URI, d.EmailAddress, d.PhoneNumber, d.EncryptionKey = nil, nil, nil, nil
	d.Attributes = passing(d.Attributes)
	if out, err = d.Marshal(); err != nil {
		return nil, nil, fmt.Errorf("%w: %v", ErrMalformed, err)
	}
	return out, streams, nil
}

// place writes where the stream of an m= line is; port 0 takes it out.
func place(m *sdp.MediaDescription, port uint16, at netip.Addr, held bool) {
	m.MediaName.Port = sdp.RangedPort{Value: int(port)}
	m.ConnectionInformation, m.EncryptionKey, m.MediaTitle = nil, nil, nil
	m.Attributes = passing(m.Attributes)
	if !held {
		return
	}
	zero := netip.IPv4Unspecified()
	if at.Unmap().Is6() {
		zero = netip.IPv6Unspecified()
	}
	m.ConnectionInformation = connectionAt(zero)
}

func connectionAt(a netip.Addr) *sdp.ConnectionInformation {
	return &sdp.ConnectionInformation{NetworkType: "IN", AddressType: familyOf(a), Address: &sdp.Address{Address: plainAddr(a)}}
}

func plainAddr(a netip.Addr) string { return a.Unmap().WithZone("").String() }

func isHeld(m *sdp.MediaDescription, session *sdp.ConnectionInformation) bool {
	a, ok := addressOf(m, session)
	return ok && a.IsUnspecified()
}

// addressOf reads the c= line that counts for a stream.
func addressOf(m *sdp.MediaDescription, session *sdp.ConnectionInformation) (netip.Addr, bool) {
	c := m.ConnectionInformation
	if c == nil {
		c = session
	}
	if c == nil || c.Address == nil {
		return netip.Addr{}, false
	}
	host, _, _ := strings.Cut(c.Address.Address, "/")
	a, err := netip.ParseAddr(host)
	return a.Unmap(), err == nil
}

// readStream tells whether a stream can be relayed, and what it needs.
func readStream(i int, m *sdp.MediaDescription, session *sdp.ConnectionInformation) (Stream, bool) {
	port := m.MediaName.Port
	if port.Value <= 0 || port.Value > 65535 || port.Range != nil && *port.Range != 1 || !isRTP(m.MediaName.Protos) {
		return Stream{}, false
	}
	st := Stream{Index: i, Port: uint16(port.Value), RTCP: uint16(min(port.Value+1, 65535))}
	if a, ok := addressOf(m, session); ok && !a.IsUnspecified() {
		if a.IsMulticast() {
			return Stream{}, false
		}
		st.Addr = a
	}
	if v, ok := m.Attribute("rtcp"); ok {
		first, _, _ := strings.Cut(v, " ")
		if n, err := strconv.ParseUint(first, 10, 16); err == nil && n > 0 {
			st.RTCP = uint16(n)
		}
	}
	st.need(m)
	return st, true
}

// isRTP tells whether a transport is RTP over UDP (RFC 3551, 3711, 4585, 5764).
func isRTP(protos []string) bool {
	switch strings.ToUpper(strings.Join(protos, "/")) {
	case "RTP/AVP", "RTP/AVPF", "RTP/SAVP", "RTP/SAVPF", "UDP/TLS/RTP/SAVP", "UDP/TLS/RTP/SAVPF":
		return true
	}
	return false
}

// What streams may bring: RFC 3551 audio has a packet every 10 ms at most, and
// DTMF or redundancy beside it.
const (
	audioPackets = 250
	videoPackets = 2000
	videoBytes   = 1 << 20
	packetHead   = 64       // RTP header with extensions and an SRTP tag
	leastAudio   = 16 << 10 // bytes a second: G.711 twice (RFC 2198)
	mostAudio    = 1 << 20
)

// need sets what the stream can need at most, from its codecs. No codec of
// speech or music is larger than 16-bit samples of its own clock and channels
// (RFC 3551 §4.5.11).
func (st *Stream) need(m *sdp.MediaDescription) {
	most := leastAudio
	for i := range st.Clocks {
		st.Clocks[i] = 8000
	}
	for _, a := range m.Attributes {
		if a.Key != "rtpmap" {
			continue
		}
		format, codec, _ := strings.Cut(a.Value, " ")
		n, err := strconv.ParseUint(format, 10, 7)
		_, rest, _ := strings.Cut(strings.TrimSpace(codec), "/")
		clock, channels, _ := strings.Cut(rest, "/")
		hz, err2 := strconv.ParseUint(clock, 10, 20)
		if err != nil || err2 != nil || hz == 0 {
			continue
		}
		st.Clocks[n] = uint32(hz)
		count, err := strconv.ParseUint(channels, 10, 4)
		if err != nil || count == 0 {
			count = 1
		}
		most = max(most, int(2*hz*count))
	}
	st.Packets, st.Bytes = audioPackets, min(most, mostAudio)+audioPackets*packetHead
	if m.MediaName.Media != "audio" {
		st.Packets, st.Bytes = videoPackets, videoBytes
	}
}

// passing leaves out the attributes that name addresses or offer a way around
// the relay.
func passing(all []sdp.Attribute) []sdp.Attribute {
	kept := make([]sdp.Attribute, 0, len(all))
	for _, a := range all {
		if !aside(a.Key) && !namesAddress(a.Value) {
			kept = append(kept, a)
		}
	}
	return kept
}

// aside tells whether an attribute is about other transport addresses than the
// m= and c= lines': ICE (RFC 8839), bundles (RFC 9143), RTCP elsewhere
// (RFC 3605), capability negotiation (RFC 5939, 7006), alternatives (RFC 6947).
func aside(key string) bool {
	switch key = strings.ToLower(key); key {
	case "rtcp", "group", "bundle-only", "candidate", "remote-candidates", "end-of-candidates", "alt", "altc",
		"tcap", "pcfg", "acfg", "ccap", "source-filter", "connection", "direction":
		return true
	}
	return strings.HasPrefix(key, "ice-")
}

// namesAddress tells whether an attribute's value has an IP address in it,
// whatever the attribute: none that phones need to agree on a call does.
func namesAddress(value string) bool {
	for _, w := range wordsOf(value) {
		if _, err := netip.ParseAddr(w); err == nil {
			return true
		}
		if _, err := netip.ParseAddrPort(w); err == nil {
			return true
		}
	}
	return false
}

// offered names the streams of a description, for people.
func offered(d *sdp.SessionDescription) string {
	var all []string
	for _, m := range d.MediaDescriptions {
		if m.MediaName.Port.Value != 0 {
			all = append(all, printable(m.MediaName.Media+" over "+strings.Join(m.MediaName.Protos, "/")))
		}
	}
	return strings.Join(all, ", ")
}

// printable keeps what may stand in a Warning, and not more than a line of it.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' || r == '\\' {
			return -1
		}
		return r
	}, s[:min(len(s), 60)])
}
