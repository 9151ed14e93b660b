package node

import (
	"maps"
	"sync"
)

// Counter counts refusals by room and reason. Rooms use a fixed set of
// reasons; maxCounted holds should one not. Safe for concurrent use.
type Counter struct {
	next func(room, reason string)

	mu     sync.Mutex
	counts map[string]uint64
}

// maxCounted is how many different reasons are told apart.
const maxCounted = 512

// NewCounter returns a Counter that also tells next, which may be nil.
func NewCounter(next func(room, reason string)) *Counter {
	return &Counter{next: next, counts: map[string]uint64{}}
}

// Count counts one refusal.
func (c *Counter) Count(room, reason string) {
	key := room + "/" + reason
	c.mu.Lock()
	if _, known := c.counts[key]; !known && len(c.counts) >= maxCounted {
		key = "other/other"
	}
	c.counts[key]++
	c.mu.Unlock()
	if c.next != nil {
		c.next(room, reason)
	}
}

// Counts returns "room/reason" → how often so far.
func (c *Counter) Counts() map[string]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.counts)
}
