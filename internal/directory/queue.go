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
	lost     []int // asked in vain

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

// retry has what was asked in vain asked once more, and reports whether there was
// any.
func (q *queue) retry() bool {
	if len(q.lost) == 0 {
		return false
	}
	q.failed -= len(q.lost)
	q.again, q.lost = append(q.again, q.lost...), nil
	return true
}

// count notes how an asked position came out.
func (q *queue) count(outcome string, replica int, by identity.NodeID) {
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
		if outcome == OutcomeFailed {
			q.lost = append(q.lost, replica)
		}
	}
}

// spent tells whether every position has been asked and has come out.
func (q *queue) spent() bool { return q.next == len(q.order) && len(q.again)+q.open == 0 }

// answered is how many positions have come out with an answer.
func (q *queue) answered() int { return q.found + q.absent + q.gone }

// enough is how many of m replicas must say "none": three of four.
func enough(m int) int { return m - m/4 }
