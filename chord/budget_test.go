package chord

import (
	"math"
	"testing"
	"time"
)

// sessions lets nodes die without a goodbye after exponentially distributed
// times, and others join in their place, for a while.
func (l *lab) sessions(median, d time.Duration) {
	mean := float64(median) / math.Ln2
	var live func(id ID)
	live = func(id ID) {
		l.after(time.Duration(l.rng.ExpFloat64()*mean), func() {
			if l.nodes[id] == nil || l.stopped {
				return
			}
			delete(l.nodes, id)
			live(l.join())
		})
	}
	for _, id := range sortedKeys(l.nodes) {
		live(id)
	}
	l.run(d)
}

// perNode returns what a node sent in the mean, in bytes a second, since the
// counters were last cleared.
func (l *lab) perNode(d time.Duration) (membership float64, byType map[string]int) {
	byType = map[string]int{}
	for t, b := range l.bytes {
		r := b / d.Seconds() / float64(len(l.nodes))
		membership += r
		byType[t.String()] = int(r + 0.5)
	}
	clear(l.bytes)
	return membership, byType
}

// TestBudget: in a ring whose members stay for a minute and a half, what a node
// sends for membership stays within what a ring under such churn may cost, by
// telling of itself to a part of the circle only; and nearly all are where they
// belong all the time.
func TestBudget(t *testing.T) {
	l := newLab(t, 41)
	l.notaries()
	const n = 100
	l.grow(n, 100*time.Millisecond)
	l.sessions(84*time.Second, 150*time.Second)
	clear(l.bytes)
	const span = 40 * time.Second
	l.run(span)
	rate, byType := l.perNode(span)
	mean, _, dead := l.known()
	thin, share := 0, 0
	for _, m := range l.nodes {
		if m.news.thin {
			thin++
		}
		share += m.news.share
		if m.table.len() > 2*n+maxRumours || len(m.news.told) > maxTold || len(m.news.out) > maxItems {
			t.Errorf("%d in the table, %d told, %d on the way", m.table.len(), len(m.news.told), len(m.news.out))
		}
	}
	t.Logf("%.0f B/s a node: %v; knows %.0f live, %.0f dead; %d of %d save, share %d; refused %v",
		rate, byType, mean, dead, thin, len(l.nodes), share/len(l.nodes), l.refused)
	if rate > 900 {
		t.Errorf("%.0f bytes a second", rate)
	}
}
