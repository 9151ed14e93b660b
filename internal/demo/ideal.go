package demo

import (
	"context"
	"slices"
	"time"

	"github.com/secp2psip/secp2psip/internal/node"
)

// successors is r, the length of a successor list.
const successors = 8

// idealPoll is how often the demo looks at all nodes' pointers.
const idealPoll = 20 * time.Millisecond

// awaitIdeal waits until every node's predecessor and successors are the true
// ones and returns how long that took from the start.
func (l *LAN) awaitIdeal(ctx context.Context) (time.Duration, error) {
	tick := time.NewTicker(idealPoll)
	defer tick.Stop()
	for {
		if l.ideal() {
			return time.Since(l.start), nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// ideal compares every node's neighbours with the sorted list of all.
func (l *LAN) ideal() bool {
	nodes := []*node.Node{l.server.Node()}
	for _, m := range l.adapters {
		n := m.adapter.Node()
		if n == nil || n.Ring() == nil {
			return false
		}
		nodes = append(nodes, n)
	}
	slices.SortFunc(nodes, func(a, b *node.Node) int { return a.ID().Compare(b.ID()) })
	for i, n := range nodes {
		st := n.Ring().Status()
		if st.Pred.ID != nodes[(i+len(nodes)-1)%len(nodes)].ID() {
			return false
		}
		want := min(len(nodes)-1, successors)
		if len(st.Succ) < want {
			return false
		}
		for j := range want {
			if st.Succ[j].ID != nodes[(i+1+j)%len(nodes)].ID() {
				return false
			}
		}
	}
	return true
}
