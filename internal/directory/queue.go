package directory

import (
	"math/rand/v2"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
)

// queue is the positions of one kind of record of a name, in the random order
// in which they are asked.
type queue struct {
	kind     record.Kind
	resource identity.NodeID
	order    []int
	next     int   // order[next:] has not been asked
	again    []int // to be asked once more

	open   int                      // asked, no answer yet
	found  int                      // answered with something that counts
	absent int                      // the responsible node has none
	gone   int                      // deleted or expired
	failed int                      // no answer, or one that proves nothing
	none   map[identity.NodeID]bool // who said absent
}

func newQueue(kind record.Kind, aor identity.AOR, n int, rng *rand.Rand) *queue {
	return &queue{kind: kind, resource: record.Resource(aor, kind), order: rng.Perm(n), none: make(map[identity.NodeID]bool)}
}

func (q *queue) size() int { return len(q.order) }

// take returns the next replica to ask and counts it as open.
func (q *queue) take() (replica int, ok bool) {
	if n := len(q.again); n > 0 {
		replica, q.again = q.again[n-1], q.again[:n-1]
		q.open++
		return replica, true
	}
	if q.next == len(q.order) {
		return 0, false
	}
	q.next++
	q.open++
	return q.order[q.next-1], true
}

// restart has all positions asked once more, once all have come out, and forgets
// how they did.
func (q *queue) restart() {
	q.again = append(q.again, q.order...)
	q.next = len(q.order)
	q.found, q.absent, q.gone, q.failed = 0, 0, 0, 0
	clear(q.none)
}

// count notes how an asked position came out.
func (q *queue) count(outcome string, by identity.NodeID) {
	q.open--
	switch outcome {
	case OutcomeFound:
		q.found++
	case OutcomeAbsent:
		q.absent++
		q.none[by] = true
	case OutcomeGone, OutcomeSealed:
		q.gone++
	default:
		q.failed++
	}
}

// spent tells whether every position has been asked and has come out.
func (q *queue) spent() bool { return q.next == len(q.order) && len(q.again)+q.open == 0 }

// answered is how many positions have come out with an answer.
func (q *queue) answered() int { return q.found + q.absent + q.gone }

// enough is how many of m replicas must say "none": three of four.
func enough(m int) int { return m - m/4 }
