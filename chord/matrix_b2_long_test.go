//go:build long

package chord

import (
	"net/netip"
	"testing"
)

// TestLongMatrixB2OneSite: a whole IPv6 site counts as one network, however many
// networks there are within it.
func TestLongMatrixB2OneSite(t *testing.T) {
	share, sent := sybils(t, 1000, true, func(i int) netip.Addr {
		return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 1, 1, byte(i), 14: byte(i >> 8), 15: 1})
	})
	t.Logf("matrix: B2 a thousand identities of one IPv6 site: %.1f %% of the worst honest table after %d descriptors", 100*share, sent)
	if share > 0.1 {
		t.Errorf("%.3f of a table", share)
	}
}
