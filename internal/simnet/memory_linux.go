package simnet

import (
	"bufio"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
)

// peakMemory returns the most memory that this process has had, in MiB.
func peakMemory() float64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return float64(u.Maxrss) / 1024
}

// SpareMemory returns how many bytes of memory the machine has to spare, 0 where
// that is not known (proc_meminfo(5), MemAvailable).
func SpareMemory() int64 {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, is := strings.CutPrefix(lines.Text(), "MemAvailable:"); is {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(rest, "kB")), 10, 64)
			if err != nil {
				return 0
			}
			return kib << 10
		}
	}
	return 0
}

// LargePages has the system back the next so many bytes that the program's heap
// takes with large pages (madvise(2), MADV_HUGEPAGE). What a ring of many nodes
// does is all over its memory, and with small pages a sixth of the time goes into
// finding them. It takes no memory by itself, and where the system has no large
// pages, or not so much memory, nothing changes.
func LargePages(size int64) {
	const largePage = 14 // MADV_HUGEPAGE
	probe, err := syscall.Mmap(-1, 0, int(size), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil || syscall.Munmap(probe) != nil {
		return // the heap could not grow by so much either
	}
	_ = syscall.Madvise(make([]byte, size), largePage)
	debug.FreeOSMemory() // back to the heap, which has touched none of it
}
