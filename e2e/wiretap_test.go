//go:build e2e && linux

package e2e

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/secp2psip/secp2psip/internal/media"
)

// wiretap is what somebody learns who listens on a network.
type wiretap struct {
	frames int
	words  map[string]int  // how many packets hold a word that gives something away
	ports  map[string]int  // transport and ports of whatever is carried over IP
	rtp    map[string]int  // packets of each RTP stream
	tones  map[float64]int // packets in which, read as G.711, the tone is heard
}

// Every packet is listened to by itself: what stands before the sound in each would else tear the tone apart. Of the energy
// of n bytes of noise, a tone's frequency has more than a share s with probability exp(-sn/2): here less than 1 in 10¹⁰.
const (
	leastSound = 120 // bytes
	toneShare  = 0.4
)

// listen takes frames apart. words are names that must not be seen beside SIP's own words; hz the tones that are played.
func listen(frames [][]byte, words []string, hz ...float64) wiretap {
	w := wiretap{frames: len(frames), words: map[string]int{}, ports: map[string]int{}, rtp: map[string]int{}, tones: map[float64]int{}}
	words = append([]string{"SIP/2.0", "sip:", "INVITE", "m=audio", "IN IP4"}, words...)
	for _, frame := range frames {
		flow, payload, ok := transport(frame)
		if !ok {
			continue
		}
		w.ports[flow.kind+" "+fmt.Sprint(min(flow.from.Port(), flow.to.Port()))]++
		for _, word := range words {
			if bytes.Contains(payload, []byte(word)) {
				w.words[word]++
			}
		}
		key := flow.String()
		if isRTP(payload) {
			w.rtp[fmt.Sprintf("%s %x", key, payload[8:12])]++
			payload = payload[12:]
		}
		if len(payload) < leastSound {
			continue
		}
		samples := media.DecodeULaw(payload)
		for _, f := range hz {
			if media.Detect(samples, f) > toneShare {
				w.tones[f]++
			}
		}
	}
	for stream, n := range w.rtp {
		if n < 5 { // five packets of one source are a stream
			delete(w.rtp, stream)
		}
	}
	return w
}

// isRTP tells whether a payload begins as RTP does. No QUIC packet does: its second bit is set (RFC 9000 §17).
func isRTP(b []byte) bool {
	return len(b) > 12 && b[0]>>6 == 2 && (b[1] < 192 || b[1] > 223)
}

type flow struct {
	kind     string
	from, to netip.AddrPort
}

func (f flow) String() string { return fmt.Sprint(f.kind, " ", f.from, " ", f.to) }

// transport gives the payload of a UDP or TCP packet over IPv4 or IPv6.
func transport(frame []byte) (f flow, payload []byte, ok bool) {
	if len(frame) < 14 {
		return f, nil, false
	}
	kind, packet := binary.BigEndian.Uint16(frame[12:]), frame[14:]
	var proto byte
	var from, to netip.Addr
	switch {
	case kind == 0x0800 && len(packet) >= 20:
		head, total := int(packet[0]&15)*4, int(binary.BigEndian.Uint16(packet[2:]))
		if head < 20 || total < head || total > len(packet) {
			return f, nil, false
		}
		proto = packet[9]
		from, to = netip.AddrFrom4([4]byte(packet[12:16])), netip.AddrFrom4([4]byte(packet[16:20]))
		packet = packet[head:total]
	case kind == 0x86dd && len(packet) >= 40:
		proto = packet[6]
		from, to = netip.AddrFrom16([16]byte(packet[8:24])), netip.AddrFrom16([16]byte(packet[24:40]))
		packet = packet[40:]
	default:
		return f, nil, false
	}
	switch {
	case proto == 17 && len(packet) >= 8:
		f.kind, payload = "udp", packet[8:]
	case proto == 6 && len(packet) >= 20 && len(packet) >= int(packet[12]>>4)*4:
		f.kind, payload = "tcp", packet[int(packet[12]>>4)*4:]
	default:
		return f, nil, false
	}
	f.from = netip.AddrPortFrom(from, binary.BigEndian.Uint16(packet))
	f.to = netip.AddrPortFrom(to, binary.BigEndian.Uint16(packet[2:]))
	return f, payload, true
}
