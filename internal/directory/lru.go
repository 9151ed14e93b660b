package directory

import "container/list"

// lru is a map that forgets what was not used for longest when it is full. It
// is not safe for concurrent use.
type lru[K comparable, V any] struct {
	max   int
	order *list.List // front: used last; of lruItem
	items map[K]*list.Element
}

type lruItem[K comparable, V any] struct {
	key   K
	value V
}

func newLRU[K comparable, V any](limit int) *lru[K, V] {
	return &lru[K, V]{max: max(limit, 1), order: list.New(), items: make(map[K]*list.Element)}
}

func (l *lru[K, V]) get(key K) (v V, ok bool) {
	e, ok := l.items[key]
	if !ok {
		return v, false
	}
	l.order.MoveToFront(e)
	return e.Value.(*lruItem[K, V]).value, true
}

func (l *lru[K, V]) put(key K, value V) {
	if e, ok := l.items[key]; ok {
		e.Value.(*lruItem[K, V]).value = value
		l.order.MoveToFront(e)
		return
	}
	if len(l.items) == l.max {
		oldest := l.order.Back()
		l.order.Remove(oldest)
		delete(l.items, oldest.Value.(*lruItem[K, V]).key)
	}
	l.items[key] = l.order.PushFront(&lruItem[K, V]{key, value})
}

func (l *lru[K, V]) drop(key K) {
	if e, ok := l.items[key]; ok {
		l.order.Remove(e)
		delete(l.items, key)
	}
}

// all returns the values, the one used last first.
func (l *lru[K, V]) all() []V {
	out := make([]V, 0, len(l.items))
	for e := l.order.Front(); e != nil; e = e.Next() {
		out = append(out, e.Value.(*lruItem[K, V]).value)
	}
	return out
}
