//go:build linux

package lab

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

var sweepOnce = sync.OnceFunc(sweep)

// sweep removes the namespaces and folders of runs that were killed.
func sweep() {
	out, err := exec.Command("ip", "netns", "list").Output()
	if err == nil {
		for line := range strings.Lines(string(out)) {
			if name, _, _ := strings.Cut(strings.TrimSpace(line), " "); leftOver(name) {
				removeNamespace(name)
			}
		}
	}
	folders, _ := filepath.Glob(filepath.Join(os.TempDir(), prefix+"-*"))
	for _, f := range folders {
		if leftOver(filepath.Base(f)) {
			_ = os.RemoveAll(f) // it may be another user's
		}
	}
}

// leftOver tells whether a name is one that a lab gives, "s2p-PID-N…", of a process that is no more.
func leftOver(name string) bool {
	part := strings.Split(name, "-")
	if len(part) < 3 || part[0] != prefix {
		return false
	}
	pid, err := strconv.Atoi(part[1])
	if err != nil {
		return false
	}
	stat, err := os.ReadFile(filepath.Join("/proc", part[1], "stat"))
	if err != nil {
		return syscall.Kill(pid, 0) == syscall.ESRCH
	}
	// PID (NAME) STATE …: a zombie waits only for somebody to notice (proc(5)).
	_, after, _ := bytes.Cut(stat, []byte(") "))
	return bytes.HasPrefix(after, []byte("Z")) || bytes.HasPrefix(after, []byte("X"))
}

// removeNamespace ends whatever still runs in one of our namespaces and removes it.
func removeNamespace(ns string) {
	if out, err := exec.Command("ip", "netns", "pids", ns).Output(); err == nil {
		for _, f := range strings.Fields(string(out)) {
			if pid, err := strconv.Atoi(f); err == nil && pid > 1 && pid != os.Getpid() {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	}
	_ = exec.Command("ip", "netns", "del", ns).Run()
}
