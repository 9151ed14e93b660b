package sipbridge

import (
	"encoding/binary"
	"time"
)

// replay keeps final responses so that a repeated request gets the identical
// bytes (RFC 3261 §17.2), for a bounded time in a bounded ring of bytes:
//
//	uint64 key | int64 expiry (ns) | uint32 length | length bytes
//
// The ring grows while it is short of space and goes when everything in it is
// over, so an idle front keeps none. At its bound the oldest gives way; a request
// repeated after that is handled anew, and as the To tag is a hash, its answer is
// alike. Nothing in here has pointers, so the collector never looks at it.
type replay struct {
	ring       []byte
	head, tail int // where the next entry goes, where the oldest is
	entries    int
	index      map[uint64]uint32 // key → offset of its newest entry
}

const (
	replayBytes  = 6 << 20
	replayFirst  = 64 << 10 // bytes of the ring at first
	replayHeader = 8 + 8 + 4
	replayFor    = 32 * time.Second // 64·T1
	replayLimit  = 8 << 10          // a longer response is not kept
	replaySkip   = ^uint32(0)       // length that says: go on at offset 0
)

func newReplay() *replay {
	return &replay{index: make(map[uint64]uint32)}
}

// put keeps msg until now+replayFor.
func (r *replay) put(key uint64, msg []byte, now time.Duration) {
	need := replayHeader + len(msg)
	if len(msg) > replayLimit {
		return
	}
	for len(r.ring) < replayBytes && r.crowded(need) {
		r.grow()
	}
	if r.head+need+replayHeader > len(r.ring) {
		r.evict(r.head, len(r.ring))
		binary.NativeEndian.PutUint32(r.ring[r.head+16:], replaySkip)
		if r.entries == 0 {
			r.tail = 0
		}
		r.head = 0
	}
	r.evict(r.head, r.head+need)
	e := r.ring[r.head:]
	binary.NativeEndian.PutUint64(e, key)
	binary.NativeEndian.PutUint64(e[8:], uint64(now+replayFor))
	binary.NativeEndian.PutUint32(e[16:], uint32(len(msg)))
	copy(e[replayHeader:], msg)
	if r.entries == 0 {
		r.tail = r.head
	}
	r.index[key] = uint32(r.head)
	r.entries++
	r.head += need
}

// crowded tells whether an entry of need bytes has no place unless older ones
// give way.
func (r *replay) crowded(need int) bool {
	end := r.head + need
	switch {
	case r.entries > 0 && r.tail >= r.head:
		return end > r.tail || end+replayHeader > len(r.ring)
	case end+replayHeader <= len(r.ring):
		return false
	}
	return r.entries == 0 || need > r.tail // it goes on at offset 0
}

// grow makes a ring of twice the size and takes over what counts.
func (r *replay) grow() {
	next := make([]byte, min(max(2*len(r.ring), replayFirst), replayBytes))
	head, entries := 0, 0
	for r.entries > 0 {
		e := r.ring[r.tail:]
		key, n := binary.NativeEndian.Uint64(e), replayHeader+int(binary.NativeEndian.Uint32(e[16:]))
		if r.index[key] == uint32(r.tail) {
			copy(next[head:], e[:n])
			r.index[key] = uint32(head)
			head, entries = head+n, entries+1
		}
		r.pass()
	}
	r.ring, r.head, r.tail, r.entries = next, head, 0, entries
}

// evict drops the oldest entries until none lies in [from, to).
func (r *replay) evict(from, to int) {
	for r.entries > 0 && r.tail >= from && r.tail < to {
		r.drop()
	}
}

// drop forgets the oldest entry.
func (r *replay) drop() {
	key := binary.NativeEndian.Uint64(r.ring[r.tail:])
	if off, ok := r.index[key]; ok && off == uint32(r.tail) {
		delete(r.index, key)
	}
	r.pass()
}

// pass goes from the oldest entry to the next.
func (r *replay) pass() {
	r.entries--
	r.tail += replayHeader + int(binary.NativeEndian.Uint32(r.ring[r.tail+16:]))
	if r.entries > 0 && binary.NativeEndian.Uint32(r.ring[r.tail+16:]) == replaySkip {
		r.tail = 0
	}
}

// get appends the response kept under key to dst.
func (r *replay) get(dst []byte, key uint64, now time.Duration) ([]byte, bool) {
	off, ok := r.index[key]
	if !ok {
		return dst, false
	}
	e := r.ring[off:]
	if int64(now) >= int64(binary.NativeEndian.Uint64(e[8:])) {
		return dst, false
	}
	length := binary.NativeEndian.Uint32(e[16:])
	return append(dst, e[replayHeader:replayHeader+int(length)]...), true
}

// expire drops what is older than replayFor.
func (r *replay) expire(now time.Duration) {
	for r.entries > 0 && int64(binary.NativeEndian.Uint64(r.ring[r.tail+8:])) <= int64(now) {
		r.drop()
	}
	if r.entries == 0 && len(r.ring) > 0 {
		r.ring, r.head, r.tail = nil, 0, 0
	}
}
