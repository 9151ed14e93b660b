//go:build long

package node_test

import (
	"fmt"
	"runtime/debug"
	"testing"
	"time"
)

// TestLongHonest: see TestMatrixE2HonestNodesStay; ten thousand node-hours.
func TestLongHonest(t *testing.T) {
	collect := debug.SetGCPercent(400) // little is live and much is garbage: a third of the time
	t.Cleanup(func() { debug.SetGCPercent(collect) })
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			honest(t, 900+seed, 25, 50*time.Hour)
		})
	}
}

// TestLongWithholders: see TestMatrixE1WithholdersAreFound; how many are found
// within the hour, of many rings.
func TestLongWithholders(t *testing.T) {
	found, all := 0, 0
	for seed := range uint64(12) {
		f, a, _ := withholders(t, 700+seed, 24, 6)
		found, all = found+f, all+a
	}
	t.Logf("matrix: E1 holders that withhold from half of the members, found within the hour: %d of %d", found, all)
	if float64(found) < 0.95*float64(all) {
		t.Errorf("%d of %d found", found, all)
	}
}
