package link

import (
	"bytes"
	"testing"
)

// Threat: any member of the overlay chooses these bytes, and what is behind them
// is sent on to others.
func FuzzSealed(f *testing.F) {
	f.Add([]byte{DatagramSealed, sealedOn})
	f.Add(append([]byte{DatagramSealed, sealedFrom}, make([]byte, 17)...))
	f.Add(append([]byte{DatagramSealed, sealedOn}, make([]byte, 16+sealedPacket)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		direction, node, packet, ok := splitSealed(b)
		if !ok {
			return
		}
		if len(packet) == 0 || len(packet) > sealedPacket {
			t.Fatalf("a packet of %d bytes", len(packet))
		}
		if again := appendSealed(nil, direction, node, packet); !bytes.Equal(again, b) {
			t.Fatalf("%x becomes %x", b, again)
		}
	})
}
