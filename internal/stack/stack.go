// Package stack gives a goroutine that has just begun the stack that it is
// about to need.
//
// Goroutines begin with a few kilobytes. One that reads a message and checks a
// signature outgrows that two or three times, and each time the runtime moves
// the whole stack, frame by frame: 20 µs beside a check of 75 µs, for each of
// the dozens of short goroutines of one call. Growing once, while there is next
// to nothing to move, costs 1 µs.
//
//	go test -run '^$' -bench . ./internal/stack
package stack

// room is what checking a signature or exchanging a message takes, with some to
// spare. The runtime rounds up to a power of two: 16 kB.
const room = 8 << 10

// Deepen grows the stack of this goroutine, if need be, to hold some 8 kB more
// than now. It is for the first line of a goroutine that will need it.
func Deepen() { reserve(false) }

// reserve has a frame of that size, which the runtime sees to before its first
// line. It must not be written to: that would clear all of it, and fetch as much
// memory into the caches.
//
//go:noinline
func reserve(use bool) {
	if use {
		var frame [room]byte
		touch(&frame)
	}
}

//go:noinline
func touch(frame *[room]byte) { frame[0] = 1 }
