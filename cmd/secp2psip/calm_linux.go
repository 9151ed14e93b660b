package main

import (
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// How late the kernel may end a sleep, so that one wake-up does for several:
// what it does by itself, and what an adapter wants.
const (
	usualSlack = 50 * time.Microsecond
	slack      = 500 * time.Microsecond
)

// lateTimers lets the kernel end sleeps a little late. Whenever a program wakes
// up, a thread of Go's runtime watches it, sleeping 20 µs at a time; in one that
// is mostly idle that is a third of all it does. The thread takes its slack from
// the one that started it, before main, and only then can it be given: so the
// program begins once more. Where that cannot be, or somebody has chosen another
// slack, as TimerSlackNSec= in a unit does, all stays as it is.
func lateTimers() {
	got, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil || time.Duration(got) != usualSlack {
		return
	}
	path, err := os.Executable()
	if err != nil {
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(slack.Nanoseconds()), 0, 0, 0) == nil {
		_ = syscall.Exec(path, os.Args, os.Environ()) // #nosec G204 -- this very program, with the arguments it has
	}
}
