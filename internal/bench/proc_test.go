//go:build linux

package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// cpuOf returns the CPU time that a process has used, in user and system mode:
// what the kernel counted for its threads, of which none may have ended.
func cpuOf(tb testing.TB, pid int) (sum time.Duration) {
	tb.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(tasks) == 0 {
		tb.Fatalf("process %d does not run: %v", pid, err)
	}
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if err != nil {
			tb.Fatal(err)
		}
		ns, err := strconv.ParseInt(strings.Fields(string(text))[0], 10, 64)
		if err != nil {
			tb.Fatal(err)
		}
		sum += time.Duration(ns)
	}
	return sum
}

// memory is what a process holds, in MiB: all that is resident, and the same
// with what it shares with other processes divided by their number.
type memory struct {
	RSS float64 `json:"rss_mib"`
	PSS float64 `json:"pss_mib"`
}

func memoryOf(tb testing.TB, pid int) (m memory) {
	tb.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		tb.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		kib, _ := strconv.Atoi(f[1])
		switch f[0] {
		case "Rss:":
			m.RSS = float64(kib) / 1024
		case "Pss:":
			m.PSS = float64(kib) / 1024
		}
	}
	if m.RSS == 0 || m.PSS == 0 {
		tb.Fatalf("process %d: no sizes in %q", pid, text)
	}
	return m
}
