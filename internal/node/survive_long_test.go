//go:build long

package node_test

import "testing"

// TestLongPowerCut: see TestPowerCutLAN.
func TestLongPowerCut(t *testing.T) {
	for seed := range uint64(3) {
		powerCut(t, 64, 10+seed)
	}
}

// TestLongPartitions: see TestPartitionMerges.
func TestLongPartitions(t *testing.T) {
	for i, shape := range []cutShape{halves, arc, few, striped} {
		partition(t, uint64(400+i), 64, shape)
	}
}

// TestLongKillThirty: see TestKillThirty.
func TestLongKillThirty(t *testing.T) {
	for seed := range uint64(10) {
		killThirty(t, 300+seed, 64)
	}
}

// TestLongKillReal: see TestKillReal.
func TestLongKillReal(t *testing.T) { killSome(t, 64, 500) }
