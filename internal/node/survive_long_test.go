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
	for i, shape := range []cutShape{
		{"every second node", func(i, _, _ int) bool { return i%2 == 0 }},
		halfCircle(),
		{"an eighth at random", func(_, _, drawn int) bool { return drawn%8 == 0 }},
		{"arcs of a quarter, turn about", func(i, n, _ int) bool { return i/(n/4)%2 == 0 }},
	} {
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
