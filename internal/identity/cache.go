package identity

import "sync"

// Cache remembers at most 2·size results; what is used stays, what is not is
// forgotten a generation later. Safe for concurrent use.
type Cache[K comparable, V any] struct {
	mu         sync.Mutex
	size       int
	young, old map[K]V
}

// NewCache returns an empty cache for two generations of size results each.
func NewCache[K comparable, V any](size int) *Cache[K, V] {
	return &Cache[K, V]{size: max(size, 1), young: make(map[K]V)}
}

// Get returns what Put stored last under k.
func (c *Cache[K, V]) Get(k K) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.young[k]
	if ok {
		return v, true
	}
	if v, ok = c.old[k]; ok {
		c.putLocked(k, v)
	}
	return v, ok
}

// Put stores v under k.
func (c *Cache[K, V]) Put(k K, v V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.putLocked(k, v)
}

// Len returns how many results it holds; one in both generations counts twice.
func (c *Cache[K, V]) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.young) + len(c.old)
}

// Clear forgets everything.
func (c *Cache[K, V]) Clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.young, c.old = make(map[K]V), nil
}

func (c *Cache[K, V]) putLocked(k K, v V) {
	if _, there := c.young[k]; !there && len(c.young) >= c.size {
		c.young, c.old = make(map[K]V), c.young
	}
	c.young[k] = v
}
