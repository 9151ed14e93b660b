package simnet

// eventKind tells what happens.
type eventKind uint8

const (
	evTimer   eventKind = iota // a node's machine wants to be ticked
	evRequest                  // a request reaches its target
	evAnswer                   // an answer, or its absence, reaches who asked
	evTask                     // a task's timer
	evKeep                     // a keeper's timer
	evTend                     // a device looks after its owner's records
	evEnd                      // a session ends
	evJoin                     // a node tries (again) to join
	evLookup                   // somebody looks something up
	evClose                    // a link has been closed at its other end
	evAct                      // a step of the scenario
)

// event is one thing that happens at a time. Events at the same time happen in
// the order of seq.
type event struct {
	at   int64  // ns since the start
	seq  uint64 // among those of one time; no two of a queue are alike
	ref  int32  // what kind says: a node, a call, a task
	gen  uint32
	from int32 // of evClose: the other node
	kind eventKind
}

func (e *event) before(o *event) bool { return e.at < o.at || e.at == o.at && e.seq < o.seq }

// queue is a heap with four children a node: half as deep as a binary one, and
// the children share a cache line or two.
type queue struct {
	heap []event
}

func (q *queue) push(e event) {
	q.heap = append(q.heap, e)
	i := len(q.heap) - 1
	for i > 0 {
		parent := (i - 1) / 4
		if !e.before(&q.heap[parent]) {
			break
		}
		q.heap[i] = q.heap[parent]
		i = parent
	}
	q.heap[i] = e
}

func (q *queue) pop() event {
	top := q.heap[0]
	n := len(q.heap) - 1
	last := q.heap[n]
	q.heap = q.heap[:n]
	if n == 0 {
		return top
	}
	i := 0
	for {
		first := 4*i + 1
		if first >= n {
			break
		}
		least := first
		for c := first + 1; c < min(first+4, n); c++ {
			if q.heap[c].before(&q.heap[least]) {
				least = c
			}
		}
		if !q.heap[least].before(&last) {
			break
		}
		q.heap[i] = q.heap[least]
		i = least
	}
	q.heap[i] = last
	return top
}

// slab hands out numbered places and takes them back.
type slab[T any] struct {
	items []T
	free  []int32
}

func (s *slab[T]) take() int32 {
	if n := len(s.free); n > 0 {
		i := s.free[n-1]
		s.free = s.free[:n-1]
		return i
	}
	s.items = append(s.items, *new(T))
	return int32(len(s.items) - 1)
}

func (s *slab[T]) at(i int32) *T { return &s.items[i] }

func (s *slab[T]) put(i int32) {
	s.items[i] = *new(T)
	s.free = append(s.free, i)
}
