package node_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
)

// cutShape says on which side of a cut a node is: index i of n in the order of
// the ring, and a number drawn for it.
type cutShape struct {
	name string
	side func(i, n, drawn int) bool
}

// halfCircle cuts the ring into two arcs.
func halfCircle() cutShape {
	return cutShape{"half the circle", func(i, n, _ int) bool { return i < n/2 }}
}

// TestPartitionMerges: a ring is cut in two for minutes, both sides go on
// storing, and when the cut heals they are one ring again that has lost
// nothing, with the newest of what contradicts.
func TestPartitionMerges(t *testing.T) { partition(t, 41, 16, halfCircle()) }

func partition(t *testing.T, seed uint64, n int, shape cutShape) {
	inVirtualTime(t, seed, n, func(t *testing.T, w *vring) {
		nodes := w.live()
		side := map[identity.NodeID]bool{}
		var sides [2][]*vnode
		for i, v := range nodes {
			side[v.self.ID] = shape.side(i, n, w.draw(1<<20))
			if side[v.self.ID] {
				sides[1] = append(sides[1], v)
			} else {
				sides[0] = append(sides[0], v)
			}
		}
		w.cutOff(func(a, b identity.NodeID) bool { return side[a] != side[b] })
		began := time.Now()
		tried, failed := w.lookUpDuring(sides, 30*time.Second)
		w.updateAll(sides)
		moreTried, moreFailed := w.lookUpDuring(sides, 3*time.Minute)
		for k, s := range sides {
			w.await(fmt.Sprintf("side %d is a ring", k), time.Minute, func() error { return idealNodes(s) })
		}
		w.cutOff(nil)
		healed := time.Now()
		ideal := w.await("one ring", 2*time.Minute, w.ideal)
		placed := w.await("nothing lost", 3*time.Minute, func() error { return w.placed(nil) })
		lateTried, lateFailed := len(w.people), 0
		for p, ok := range w.resolved(w.everybody(), nodes) {
			if !ok {
				lateFailed++
				t.Errorf("%s is not found", p.aor)
			}
		}
		w.latestWins()
		t.Logf("%s, %d and %d nodes: cut for %v; look-ups that failed: %d of %d while the sides find themselves, %d of %d while cut, %d of %d after; one ring %v after the cut healed, every record in its place after %v",
			shape.name, len(sides[0]), len(sides[1]), healed.Sub(began), failed, tried, moreFailed, moreTried, lateFailed, lateTried, ideal, placed)
	})
}

// cutOff parts the network, or heals it.
func (w *vring) cutOff(apart func(a, b identity.NodeID) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.apart = apart
}

// lookUpDuring lets every ten seconds somebody on each side look everybody up.
func (w *vring) lookUpDuring(sides [2][]*vnode, d time.Duration) (tried, failed int) {
	for end := time.Now().Add(d); time.Now().Before(end); <-time.After(10 * time.Second) {
		for _, s := range sides {
			for _, ok := range w.resolved(w.everybody(), s) {
				if tried++; !ok {
					failed++
				}
			}
		}
	}
	return tried, failed
}

// updateAll lets everybody publish a newer registration, each on its own side;
// a third publish another on the other side too, as a second program with the
// same keys would: a newer one, or one with the same sequence number that says
// something else.
func (w *vring) updateAll(sides [2][]*vnode) {
	w.t.Helper()
	for i, p := range w.everybody() {
		w.publishAs(p, w.nodes[p.at.ID], 10)
		if i%3 > 0 {
			continue
		}
		for _, s := range sides {
			if _, mine := indexOf(s, p.at.ID); !mine {
				w.publishAs(p, s[i%len(s)], 10+uint64(i%2))
			}
		}
	}
}

func indexOf(nodes []*vnode, id identity.NodeID) (int, bool) {
	for i, v := range nodes {
		if v.self.ID == id {
			return i, true
		}
	}
	return 0, false
}

// publishAs signs a registration now and publishes it through a node.
func (w *vring) publishAs(p *person, v *vnode, seq uint64) {
	w.t.Helper()
	rec := p.registration(seq)
	if _, err := v.dir.Publish(w.t.Context(), rec); err != nil {
		w.t.Logf("%s could not publish sequence %d on one side: %v", p.aor, seq, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	last := len(p.records) - 1
	if old := must(p.records[last].Body())(w.t); old.Seq < seq {
		p.records[last] = rec
	}
}

// latestWins checks that everybody's newest registration is what all holders
// have.
func (w *vring) latestWins() {
	w.t.Helper()
	nodes := w.live()
	for _, p := range w.everybody() {
		want := must(p.records[len(p.records)-1].Body())(w.t)
		seq := must(nodes[w.draw(len(nodes))].dir.Latest(w.t.Context(), p.aor, record.KindRegistration, 1))(w.t)
		if seq < want.Seq {
			w.t.Errorf("%s: sequence %d, %d was published", p.aor, seq, want.Seq)
		}
	}
}
