//go:build !linux

package simnet

import "runtime"

// peakMemory returns the memory that this process has asked for, in MiB.
func peakMemory() float64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.Sys) / (1 << 20)
}
