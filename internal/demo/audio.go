package demo

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"

	"github.com/secp2psip/secp2psip/internal/media"
)

// Heard is what a phone received in one call.
type Heard struct {
	Packets int // RTP packets
	Missing int // of those between the first and the last
	Late    int // that came after a later one
	samples []int16
}

// window is how much is looked at in one go, 250 ms: where packets are lost a
// tone is a tone still, but not in step with itself.
const window = media.SampleRate / 4

// Share is the part of what was heard that lies at the given frequency, 0 to 1.
func (h Heard) Share(hertz float64) float64 {
	var sum float64
	n := 0
	for part := range slices.Chunk(h.samples, window) {
		if len(part) == window || n == 0 {
			sum += media.Detect(part, hertz)
			n++
		}
	}
	return sum / float64(max(n, 1))
}

// heardTone is the share from which on a tone counts as heard.
const heardTone = 0.9

// Tone tells whether the tone came through.
func (h Heard) Tone(hertz float64) bool {
	return h.Packets > 0 && h.Share(hertz) > heardTone
}

// audio is one phone's RTP socket in one call: G.711 µ-law, 8 kHz, 20 ms a
// packet (RFC 3551 §4.5.14).
type audio struct {
	conn net.PacketConn
	tone float64 // hertz

	mu    sync.Mutex
	heard Heard
	last  uint16 // sequence number
	done  chan struct{}
}

const (
	frame      = 20 * time.Millisecond
	perFrame   = 160
	maxSamples = 8000 * 10 // ten seconds are enough to tell a tone
)

func openAudio(hertz float64) (*audio, error) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("open an RTP port: %w", err)
	}
	a := &audio{conn: conn, tone: hertz, done: make(chan struct{})}
	go a.receive()
	return a, nil
}

// Close ends reception.
func (a *audio) Close() {
	_ = a.conn.Close()
	<-a.done
}

func (a *audio) receive() {
	defer close(a.done)
	buf := make([]byte, 2048)
	for {
		n, _, err := a.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		var p rtp.Packet
		if p.Unmarshal(buf[:n]) != nil || p.PayloadType != 0 {
			continue
		}
		a.mu.Lock()
		switch ahead := int16(p.SequenceNumber - a.last); {
		case a.heard.Packets == 0:
			a.last = p.SequenceNumber
		case ahead > 0:
			a.heard.Missing += int(ahead) - 1
			a.last = p.SequenceNumber
		default:
			a.heard.Late++
			a.heard.Missing--
		}
		a.heard.Packets++
		if len(a.heard.samples) < maxSamples {
			a.heard.samples = append(a.heard.samples, media.DecodeULaw(p.Payload)...)
		}
		a.mu.Unlock()
	}
}

// Description returns the SDP offer or answer for this socket.
func (a *audio) Description() []byte {
	port := a.conn.LocalAddr().(*net.UDPAddr).Port
	return fmt.Appendf(nil, "v=0\r\no=- %d 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"+
		"m=audio %d RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=ptime:20\r\n", port, port)
}

// Play plays the tone to the address in the other side's SDP until ctx ends.
func (a *audio) Play(ctx context.Context, remoteSDP []byte) error {
	remote, err := mediaAddress(remoteSDP)
	if err != nil {
		return err
	}
	to := net.UDPAddrFromAddrPort(remote)
	tick := time.NewTicker(frame)
	defer tick.Stop()
	p := rtp.Packet{Header: rtp.Header{Version: 2, SSRC: uint32(a.conn.LocalAddr().(*net.UDPAddr).Port)}}
	for {
		p.Payload = media.EncodeULaw(media.Tone(a.tone, int(p.Timestamp), perFrame))
		raw, err := p.Marshal()
		if err != nil {
			return err
		}
		if _, err := a.conn.WriteTo(raw, to); err != nil {
			return fmt.Errorf("send audio to %v: %w", remote, err)
		}
		p.SequenceNumber++
		p.Timestamp += perFrame
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// Heard sums up what came in so far.
func (a *audio) Heard() Heard {
	a.mu.Lock()
	defer a.mu.Unlock()
	h := a.heard
	h.samples = slices.Clone(h.samples)
	return h
}

// mediaAddress returns where the other side wants its audio.
func mediaAddress(body []byte) (netip.AddrPort, error) {
	var d sdp.SessionDescription
	if err := d.Unmarshal(body); err != nil {
		return netip.AddrPort{}, fmt.Errorf("the other phone's SDP: %w", err)
	}
	for _, m := range d.MediaDescriptions {
		conn := m.ConnectionInformation
		if conn == nil {
			conn = d.ConnectionInformation
		}
		if m.MediaName.Media != "audio" || conn == nil || conn.Address == nil {
			continue
		}
		addr, err := netip.ParseAddr(conn.Address.Address)
		if err != nil {
			return netip.AddrPort{}, fmt.Errorf("the other phone's SDP: %w", err)
		}
		return netip.AddrPortFrom(addr, uint16(m.MediaName.Port.Value)), nil
	}
	return netip.AddrPort{}, fmt.Errorf("the other phone's SDP offers no audio")
}
