package bootstrap

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"testing"

	"github.com/secp2psip/secp2psip/internal/identity"
)

// B1: somebody who could have as many owner tags as he likes drawn, and try every
// slot, to get a Node-ID in the sixteenth of a thousandth of the circle that
// precedes a victim. The place comes from a key that only the issuer has, so that
// knowing all that came before does not help: he hits as often as chance does, and
// who asks again for a slot that he has gets the same place.
func TestMatrixB1GrindingHitsByChance(t *testing.T) {
	const draws, bits = 1 << 20, 14
	key := sha256.Sum256([]byte("a slot key, seed 1"))
	victim := drawNodeID(key[:], identity.OwnerTag{0xff}, 0)
	near := func(id identity.NodeID) bool {
		d := id.Distance(victim)
		return binary.BigEndian.Uint16(d[:]) < 1<<(16-bits)
	}
	hits, again := 0, 0
	for i := range uint64(draws) {
		var owner identity.OwnerTag
		binary.BigEndian.PutUint64(owner[:], i/8)
		slot := int(i % 8)
		id := drawNodeID(key[:], owner, slot)
		if near(id) {
			hits++
		}
		if i%64 == 0 && drawNodeID(key[:], owner, slot) != id {
			again++
		}
	}
	want := float64(draws) / (1 << bits)
	if dev := 5 * math.Sqrt(want); math.Abs(float64(hits)-want) > dev || again > 0 {
		t.Errorf("%d hits, %.0f by chance, give or take %.0f; %d places changed", hits, want, dev, again)
	}
	// Another issuer's key gives none of the same places: nothing can be ground
	// without asking.
	other := sha256.Sum256([]byte("another slot key"))
	same := 0
	for i := range uint64(1 << 12) {
		var owner identity.OwnerTag
		binary.BigEndian.PutUint64(owner[:], i)
		if drawNodeID(key[:], owner, 0) == drawNodeID(other[:], owner, 0) {
			same++
		}
	}
	if same > 0 {
		t.Errorf("%d places are the same under another key", same)
	}
	t.Logf("matrix: B1 2^20 draws for 1/%d of the circle: %d hits, chance gives %.0f; places drawn again that differ: %d", 1<<bits, hits, want, again)
}
