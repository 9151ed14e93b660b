//go:build !linux

package simnet

import "runtime"

// peakMemory returns the memory that this process has asked for, in MiB.
func peakMemory() float64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.Sys) / (1 << 20)
}

// SpareMemory returns how many bytes of memory the machine has to spare, 0 where
// that is not known.
func SpareMemory() int64 { return 0 }

// LargePages does nothing here: it is for systems that are told where large pages
// are worth it.
func LargePages(int64) {}
