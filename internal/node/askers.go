package node

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/secp2psip/secp2psip/internal/identity"
)

// maxRemembered bounds what a node remembers of others' questions: addresses,
// hosts, nodes.
const maxRemembered = 1024

// askers bounds how often each node may ask for something that costs much, and
// how many of these questions are answered at once.
type askers struct {
	every time.Duration // one more question of a node in this time
	burst int           // questions of a node at once
	most  int           // questions of all that are being answered

	mu     sync.Mutex
	flying int
	limits map[identity.NodeID]*rate.Limiter
}

func newAskers(every time.Duration, burst, most int) *askers {
	return &askers{every: every, burst: burst, most: most, limits: map[identity.NodeID]*rate.Limiter{}}
}

// begin admits a question, which end ends.
func (a *askers) begin(asker identity.NodeID, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := a.limits[asker]
	if l == nil {
		forgetFull(a.limits, now)
		if len(a.limits) >= maxRemembered {
			return false
		}
		l = rate.NewLimiter(rate.Every(a.every), a.burst)
		a.limits[asker] = l
	}
	if a.flying >= a.most || !l.AllowN(now, 1) {
		return false
	}
	a.flying++
	return true
}

func (a *askers) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.flying--
}

// forgetFull drops limiters that are full: a new one would be the same.
func forgetFull[K comparable](m map[K]*rate.Limiter, now time.Time) {
	if len(m) < maxRemembered/2 {
		return
	}
	for k, l := range m {
		if l.TokensAt(now) >= float64(l.Burst()) {
			delete(m, k)
		}
	}
}
