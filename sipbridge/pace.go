package sipbridge

import (
	"hash/maphash"
	"sync"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
)

// pace bounds the calls and texts from one name of this adapter to one other: a
// burst, then one a second. Each of them costs a look-up on the ring, and the
// other side would let no more in.
//
// What is kept of a pair is the time at which its burst is whole again, so a
// pair that has not called for that long is forgotten.
type pace struct {
	burst int // negative: no bound
	seed  maphash.Seed

	mu     sync.Mutex
	whole  map[uint64]time.Duration // by pair, as Bridge.now
	pruned time.Duration
}

const (
	paceEvery = time.Second
	pacePairs = 4096
	paceClean = 100 * time.Millisecond // at most so often all pairs are looked at
)

func newPace(burst int, seed maphash.Seed) *pace {
	return &pace{burst: burst, seed: seed, whole: make(map[uint64]time.Duration)}
}

// allow counts one call or text, if it is allowed.
func (p *pace) allow(caller identity.AOR, target string, now time.Duration) bool {
	if p.burst < 0 {
		return true
	}
	key := maphash.Comparable(p.seed, [2]string{caller.User(), target})
	p.mu.Lock()
	defer p.mu.Unlock()
	whole, known := p.whole[key]
	whole = max(whole, now)
	if whole-now > time.Duration(p.burst-1)*paceEvery {
		return false
	}
	if !known && len(p.whole) >= pacePairs && !p.pruneLocked(now) {
		return false
	}
	p.whole[key] = whole + paceEvery
	return true
}

// pruneLocked forgets pairs, and tells whether there is room now.
func (p *pace) pruneLocked(now time.Duration) bool {
	if now-p.pruned < paceClean {
		return false
	}
	p.pruned = now
	for key, whole := range p.whole {
		if whole <= now {
			delete(p.whole, key)
		}
	}
	return len(p.whole) < pacePairs
}

// paced refuses a call or text that comes too soon.
func (w *worker) paced(caller identity.AOR, d destination) *Refusal {
	if w.b.pace.allow(caller, d.name, w.b.now()) {
		return nil
	}
	w.b.refused(RefusedPace)
	return Overloaded("too many calls to this name within a short time", paceEvery)
}
