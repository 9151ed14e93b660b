//go:build e2e && linux

package e2e

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/secp2psip/secp2psip/internal/media"
)

// TestWhoListensHears: whatever stands around it, G.711 that is not sealed is found by the tone in it, and what looks like
// noise is not. So that no tone is found between the hosts means that there is none.
func TestWhoListensHears(t *testing.T) {
	t.Parallel()
	noise := rand.NewChaCha8([32]byte{1})
	for _, tc := range []struct {
		name   string
		head   int // bytes before the sound
		sealed bool
		found  bool
	}{
		{"bare", 0, false, true},
		{"behind the head of a QUIC packet", 30, false, true},
		{"sealed", 30, true, false},
	} {
		var frames [][]byte
		for n := range 200 {
			payload := make([]byte, tc.head+160)
			_, _ = noise.Read(payload)
			if tc.head > 0 {
				payload[0] = 0x40 // as QUIC begins
			}
			if !tc.sealed {
				copy(payload[tc.head:], media.EncodeULaw(media.Tone(callerHz, 160*n, 160)))
			}
			frames = append(frames, udpFrame(payload))
		}
		w := listen(frames, nil, callerHz, calledHz)
		if got := w.tones[callerHz]; got > 0 != tc.found || tc.found && got < 190 || w.frames != 200 || w.tones[calledHz] > 0 {
			t.Errorf("%s: the tone is heard in %d packets of 200", tc.name, got)
		}
	}
}

// udpFrame is an Ethernet frame with a UDP packet over IPv4.
func udpFrame(payload []byte) []byte {
	b := make([]byte, 14+20+8, 14+20+8+len(payload))
	binary.BigEndian.PutUint16(b[12:], 0x0800)
	ip := b[14:]
	ip[0], ip[9] = 0x45, 17
	binary.BigEndian.PutUint16(ip[2:], uint16(28+len(payload)))
	copy(ip[12:], []byte{10, 0, 0, 1, 10, 0, 0, 2})
	binary.BigEndian.PutUint16(ip[20:], 5871)
	binary.BigEndian.PutUint16(ip[22:], 5871)
	return append(b, payload...)
}
