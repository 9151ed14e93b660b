package chord

import (
	"slices"

	"github.com/secp2psip/secp2psip/internal/wire"
)

// Status is a node's place in the ring, for people and for tests.
type Status struct {
	Self    wire.Peer
	Pred    wire.Peer
	Succ    []wire.Peer
	Members int   // known live members, the node itself included if it is one
	Small   bool  // small-ring mode: Members is the whole ring
	Whole   bool  // Members is the whole ring, as far as the node can tell
	Thin    bool  // Members is a sample of a ring that is too large to know: what it loses says little
	Ideal   bool  // nothing has changed for some rounds
	Phase   Phase // where the node stands
	Dead    int   // members that died and are asked now and then
}

// Status returns the node's place in the ring.
func (n *Node) Status() Status {
	v := n.view.Load()
	self := 1
	if v.Phase == PhaseClient {
		self = 0
	}
	return Status{
		Self: v.Self, Pred: v.Pred, Succ: slices.Clone(v.Succ), Members: self + v.members.len(),
		Small: v.Small, Whole: v.Complete, Thin: v.Thin, Ideal: v.Ideal, Phase: v.Phase, Dead: v.Dead,
	}
}

// maxKnown is how many peers are worth keeping for the next start.
const maxKnown = maxGraves

// Known returns peers to join at after a restart: the neighbours, then others
// from all round the ring, at most 64.
func (n *Node) Known() []wire.Peer {
	v := n.view.Load()
	out := make([]wire.Peer, 0, maxKnown)
	seen := map[ID]bool{v.Self.ID: true}
	add := func(p wire.Peer) {
		if len(out) < maxKnown && !seen[p.ID] && len(p.Addrs) > 0 {
			seen[p.ID] = true
			out = append(out, p)
		}
	}
	for _, p := range v.Succ {
		add(p)
	}
	add(v.Pred)
	count := v.members.len()
	step := max(1, count/maxKnown)
	for i := 0; i < count; i += step {
		add(v.members.at(i).peer())
	}
	return out
}

// Owner returns the member that is responsible for pos, as far as this node can
// tell without asking.
func (n *Node) Owner(pos ID) wire.Peer { return n.view.Load().Owner(pos) }
