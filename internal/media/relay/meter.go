package relay

import (
	"encoding/binary"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/secp2psip/secp2psip/internal/media"
)

// What RTCP may bring: a twentieth of what its stream brings is usual
// (RFC 3550 §6.2), feedback (RFC 4585) may be more.
const (
	rtcpPackets = 100
	rtcpBytes   = 32 << 10
)

// line is one stream of a call, in both directions.
type line struct{ up, down meter } // from the phone, from the link

func newLine(st *media.Stream) *line {
	ln := &line{}
	ln.up.init(st)
	ln.down.init(st)
	return ln
}

func (ln *line) need(st *media.Stream) {
	ln.up.need(st)
	ln.down.need(st)
}

// meter lets through what a stream may need, and counts it.
type meter struct {
	packets, bytes         *rate.Limiter
	rtcpPackets, rtcpBytes *rate.Limiter

	mu     sync.Mutex
	sum    Direction
	clocks [128]uint32

	ssrc     uint32
	known    bool
	first    uint32 // extended sequence number
	highest  uint32 // extended sequence number
	got      uint64 // since first
	before   uint64 // lost by earlier sources
	transit  int64  // of the last packet, ns
	jitter   int64  // ns
	lastType uint8
	timed    bool
}

func (m *meter) init(st *media.Stream) {
	m.packets, m.bytes = rate.NewLimiter(rate.Limit(st.Packets), st.Packets), rate.NewLimiter(rate.Limit(st.Bytes), st.Bytes)
	m.rtcpPackets, m.rtcpBytes = rate.NewLimiter(rtcpPackets, rtcpPackets), rate.NewLimiter(rtcpBytes, rtcpBytes)
}

// need allows what a description of the stream says, and a second of it at once.
func (m *meter) need(st *media.Stream) {
	m.packets.SetLimit(rate.Limit(st.Packets))
	m.packets.SetBurst(st.Packets)
	m.bytes.SetLimit(rate.Limit(st.Bytes))
	m.bytes.SetBurst(st.Bytes)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.clocks = st.Clocks
}

// allowed is what need was last told.
func (m *meter) allowed() *media.Stream {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &media.Stream{Packets: m.packets.Burst(), Bytes: m.bytes.Burst(), Clocks: m.clocks}
}

// take counts a packet, or says why it must not pass.
func (m *meter) take(packet []byte, rtcp bool) (refused string) {
	if !isMedia(packet, rtcp) {
		return RefusedNotMedia
	}
	now := time.Now()
	isRTP := !rtcp && packet[0]>>6 == 2 && (packet[1] < 192 || packet[1] > 223) // RFC 5761 §4
	packets, bytes := m.rtcpPackets, m.rtcpBytes
	if !rtcp {
		packets, bytes = m.packets, m.bytes
	}
	if !packets.AllowN(now, 1) || !bytes.AllowN(now, len(packet)) {
		return RefusedRate
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sum.Packets++
	m.sum.Bytes += uint64(len(packet))
	if isRTP {
		m.countLocked(packet, now)
	}
	return ""
}

// isMedia tells whether a packet belongs to a media stream (RFC 7983): RTP and
// RTCP with or without encryption, ZRTP, DTLS. STUN and all else do not pass.
func isMedia(packet []byte, rtcp bool) bool {
	if len(packet) < 8 || !rtcp && len(packet) < 12 && packet[0] >= 128 {
		return false
	}
	switch b := packet[0]; {
	case b >= 128 && b <= 191:
		return true
	case b >= 16 && b <= 19:
		return !rtcp
	}
	return packet[0] >= 20 && packet[0] <= 63
}

// jump is a distance of sequence numbers that no loss explains (RFC 3550 §A.1).
const jump = 3000

// countLocked follows RFC 3550 §A.1, §A.3 and §A.8.
func (m *meter) countLocked(packet []byte, now time.Time) {
	seq, ssrc := binary.BigEndian.Uint16(packet[2:]), binary.BigEndian.Uint32(packet[8:])
	ahead := int16(seq - uint16(m.highest))
	if !m.known || ssrc != m.ssrc || ahead > jump || ahead < -jump {
		m.before += m.lostLocked()
		m.known, m.ssrc, m.got, m.timed = true, ssrc, 0, false
		m.first = 1<<16 + uint32(seq) // room for those that come before
		m.highest = m.first
		ahead = 0
	}
	m.got++
	if ahead > 0 {
		m.highest += uint32(ahead)
	} else if early := m.highest + uint32(int32(ahead)); early < m.first {
		m.first = early
	}
	kind := packet[1] & 0x7f
	hz := int64(m.clocks[kind])
	if hz == 0 {
		return
	}
	// Differences of 32-bit timestamps, not their values, are what counts.
	at := int64(binary.BigEndian.Uint32(packet[4:])) * int64(time.Second) / hz
	transit := now.UnixNano() - at
	if m.timed && kind == m.lastType {
		d := max(transit-m.transit, m.transit-transit)
		if d < int64(10*time.Second) { // else the timestamp has wrapped
			m.jitter += (d - m.jitter) / 16
		}
	}
	m.transit, m.lastType, m.timed = transit, kind, true
}

// lostLocked is how many of the present source's packets never came.
func (m *meter) lostLocked() uint64 {
	if expected := uint64(m.highest-m.first) + 1; m.known && expected > m.got {
		return expected - m.got
	}
	return 0
}

func (m *meter) read() Direction {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.sum
	d.Lost, d.Jitter = m.before+m.lostLocked(), time.Duration(m.jitter)
	return d
}
