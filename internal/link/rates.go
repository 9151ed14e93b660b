package link

import (
	"sync"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"golang.org/x/time/rate"
)

// newTokenBucket allows n events a second and n at once.
func newTokenBucket(n int) *rate.Limiter { return rate.NewLimiter(rate.Limit(n), n) }

// rates holds one token bucket per node, so that connecting anew does not fill
// it. Only nodes with a certificate have one.
type rates struct {
	limit rate.Limit
	burst int

	mu     sync.Mutex
	byNode map[identity.NodeID]*rate.Limiter
}

func newRates(limit rate.Limit, burst int) *rates {
	return &rates{limit: limit, burst: burst, byNode: make(map[identity.NodeID]*rate.Limiter)}
}

func (r *rates) of(id identity.NodeID) *rate.Limiter {
	r.mu.Lock()
	defer r.mu.Unlock()
	b, ok := r.byNode[id]
	if !ok {
		b = rate.NewLimiter(r.limit, r.burst)
		r.byNode[id] = b
	}
	return b
}

// retryAfter returns how long until a request would be allowed again.
func (r *rates) retryAfter() time.Duration {
	if r.limit <= 0 {
		return time.Second
	}
	return max(time.Millisecond, time.Duration(float64(time.Second)/float64(r.limit)))
}

// forget drops the buckets that are full: a new one would be the same.
func (r *rates) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, b := range r.byNode {
		if b.Tokens() >= float64(r.burst) {
			delete(r.byNode, id)
		}
	}
}
