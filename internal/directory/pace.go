package directory

import (
	"math/rand/v2"
	"sync"
	"time"
)

// Bounds of the wait before another position is asked as well.
const (
	firstHedge = 50 * time.Millisecond // nothing measured yet: links may be cold
	minHedge   = 5 * time.Millisecond
	maxHedge   = 500 * time.Millisecond
)

// Pace learns how long answers take: smoothed mean and deviation, as RFC 6298
// §2 does for TCP. The zero value has measured nothing. It is safe for concurrent
// use, and best shared by all that one node asks.
type Pace struct {
	mu        sync.Mutex
	mean, dev time.Duration
}

func (p *Pace) observe(took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mean == 0 {
		p.mean, p.dev = took, took/2
		return
	}
	p.dev += ((took - p.mean).Abs() - p.dev) / 4
	p.mean += (took - p.mean) / 8
}

// hedge returns how long to wait for an answer before asking elsewhere too,
// with a tenth of jitter so that many resolvers do not step together.
func (p *Pace) hedge(rng *rand.Rand) time.Duration {
	p.mu.Lock()
	d := p.mean + 4*p.dev
	if p.mean == 0 {
		d = firstHedge
	}
	p.mu.Unlock()
	d = min(max(d, minHedge), maxHedge)
	return d + time.Duration(rng.Int64N(int64(d/10)))
}
