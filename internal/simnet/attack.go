package simnet

import (
	"fmt"
	"slices"
	"strings"

	"github.com/secp2psip/secp2psip/chord"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// Attack is what the bad nodes do. Each runs the product's code with one
// behaviour swapped, and all of them work together: each knows all of them.
type Attack string

// The attacks.
const (
	NoAttack Attack = ""
	// Drop: keeps its place in the ring and answers no look-up, fetch or store.
	Drop Attack = "drop"
	// Lie: answers a look-up with the accomplice closest before the target, and
	// where there is none says that it is responsible itself.
	Lie Attack = "lie"
	// Collude: as Lie, but says that the next accomplice after the target is
	// responsible, and names accomplices only when asked for its successors.
	Collude Attack = "collude"
	// Goose: names nodes that do not exist, ever closer to the target, at the
	// addresses of accomplices, who stay silent when they are called by such a name.
	Goose Attack = "goose"
	// Poison: names accomplices and nodes that do not exist in place of its
	// neighbours, to everybody who asks for its state, and gives nobody but
	// accomplices to those who ask for a part of its table; passes on no news.
	Poison Attack = "poison"
	// Eclipse: the bad nodes are those that follow one position, which is what is
	// looked up, and drop.
	Eclipse Attack = "eclipse"
	// Withhold: stores records and says that it has none.
	Withhold Attack = "withhold"
	// Deny: says of every target that it is responsible itself, and of every record
	// that there is none, with a predecessor that makes it so.
	Deny Attack = "deny"
)

// Attacks returns the names of all attacks.
func Attacks() []string {
	return []string{string(Drop), string(Lie), string(Collude), string(Goose), string(Poison), string(Eclipse), string(Withhold), string(Deny)}
}

// adversary is what the bad nodes share.
type adversary struct {
	kind   Attack
	ids    []chord.ID // of the bad nodes, in order
	peers  []wire.Peer
	target chord.ID // of Eclipse
}

// recruit makes a share of all devices bad.
func (s *Sim) recruit() {
	a := &s.adversary
	a.kind = s.cfg.Attack
	if s.cfg.Bad == 0 {
		return
	}
	a.target = s.randomID()
	order := s.rng.Perm(len(s.nodes))
	if a.kind == Eclipse {
		slices.SortFunc(order, func(x, y int) int {
			return a.target.Distance(s.nodes[x].peer.ID).Compare(a.target.Distance(s.nodes[y].peer.ID))
		})
	}
	for _, i := range order[:int(s.cfg.Bad*float64(len(order)))] {
		s.nodes[i].bad = true
	}
	for _, n := range s.nodes {
		if n.bad {
			a.peers = append(a.peers, n.peer)
		}
	}
	slices.SortFunc(a.peers, func(x, y wire.Peer) int { return x.ID.Compare(y.ID) })
	for _, p := range a.peers {
		a.ids = append(a.ids, p.ID)
	}
}

// before returns up to k accomplices that run and precede target, closest first
// and all of them between self and target.
func (s *Sim) before(self, target chord.ID, k int) []wire.Peer {
	a := &s.adversary
	i, _ := slices.BinarySearchFunc(a.ids, target, chord.ID.Compare)
	var out []wire.Peer
	for range a.ids {
		if i--; i < 0 {
			i = len(a.ids) - 1
		}
		id := a.ids[i]
		if id == self || self.Distance(id).Compare(self.Distance(target)) >= 0 || len(out) == k {
			break
		}
		if s.nodes[s.byID[id]].up() {
			out = append(out, a.peers[i])
		}
	}
	return out
}

// swap returns what a bad node does in place of serving msg honestly: an answer,
// or none. ok is false where it serves as everybody does.
func (s *shard) swap(n *node, msg wire.Message) (answer wire.Message, ok bool) {
	a := &s.adversary
	switch a.kind {
	case Drop, Eclipse:
		switch msg.(type) {
		case *wire.Find, *wire.Fetch, *wire.Store, *wire.StoreMany:
			s.stats.acts++
			return nil, true
		}
	case Goose:
		if find, is := msg.(*wire.Find); is {
			return s.goose(n, find.Target), true
		}
	case Collude:
		return s.collude(n, msg)
	case Lie:
		if find, is := msg.(*wire.Find); is {
			s.stats.acts++
			if near := s.before(n.peer.ID, find.Target, 4); len(near) > 0 {
				return &wire.Found{Peers: near}, true
			}
			return &wire.Found{Done: true, Peers: []wire.Peer{n.peer}}, true
		}
	case Deny:
		return s.deny(n, msg)
	case Poison:
		if _, is := msg.(*wire.Gossip); is {
			s.stats.acts++
			return &wire.Ack{}, true
		}
	case Withhold:
		if _, is := msg.(*wire.Fetch); is {
			s.stats.acts++
			return s.withheld(n), true
		}
	}
	return nil, false
}

// collude answers so that whoever believes it meets accomplices only.
func (s *shard) collude(n *node, msg wire.Message) (answer wire.Message, ok bool) {
	switch msg := msg.(type) {
	case *wire.Find:
		s.stats.acts++
		if near := s.before(n.peer.ID, msg.Target, 4); len(near) > 0 {
			return &wire.Found{Peers: near}, true
		}
		return &wire.Found{Done: true, Peers: s.behind(msg.Target, 8)}, true
	case *wire.GetState:
		s.stats.acts++
		self := n.peer
		follow := s.behind(self.ID.Add(chord.ID{15: 1}), len(s.adversary.ids))
		return &wire.State{Self: self, Pred: &follow[max(0, len(follow)-2)], Succ: follow[:min(len(follow)-1, 8)]}, true
	case *wire.Fetch:
		s.stats.acts++
		return s.withheld(n), true
	case *wire.Store:
		s.stats.acts++
		return nil, true
	}
	return nil, false
}

// deny answers as if the node were responsible for everything and had nothing.
func (s *shard) deny(n *node, msg wire.Message) (answer wire.Message, ok bool) {
	switch msg.(type) {
	case *wire.Find:
		s.stats.acts++
		return &wire.Found{Done: true, Peers: []wire.Peer{n.peer}}, true
	case *wire.Fetch:
		s.stats.acts++
		pred := n.peer
		pred.ID = n.peer.ID.Add(chord.ID{15: 1}) // all of the circle is its own
		return &wire.Fetched{Pred: &pred}, true
	}
	return nil, false
}

// goose names four ghosts between a node and the target.
func (s *shard) goose(n *node, target chord.ID) wire.Message {
	s.stats.acts++
	gap := n.peer.ID.Distance(target)
	var out []wire.Peer
	for range 4 {
		for i := len(gap) - 1; i > 0; i-- { // half of it
			gap[i] = gap[i]>>1 | gap[i-1]<<7
		}
		gap[0] >>= 1
		ghost := s.adversary.peers[n.rng.IntN(len(s.adversary.peers))]
		for i, b := range gap { // the target, less what is left of the gap
			ghost.ID[i] = ^b
		}
		ghost.ID = target.Add(ghost.ID).Add(chord.ID{15: 1})
		out = append(out, ghost)
	}
	return &wire.Found{Peers: out}
}

// behind returns up to k accomplices that run, the first one at an ID or after
// it and those that follow it.
func (s *Sim) behind(id chord.ID, k int) []wire.Peer {
	a := &s.adversary
	i, _ := slices.BinarySearchFunc(a.ids, id, chord.ID.Compare)
	var out []wire.Peer
	for j := range a.ids {
		p := a.peers[(i+j)%len(a.ids)]
		if s.nodes[s.byID[p.ID]].up() && len(out) < k {
			out = append(out, p)
		}
	}
	return out
}

// withheld is the answer of a holder that says it has nothing.
func (s *shard) withheld(n *node) wire.Message {
	v := n.viewOf()
	answer := &wire.Fetched{Pred: &v.Pred}
	if len(v.Succ) > 0 {
		answer.Succ0 = &v.Succ[0]
	}
	return answer
}

// twist changes a bad node's honest answer.
func (s *shard) twist(n *node, answer wire.Message) wire.Message {
	if s.adversary.kind != Poison {
		return answer
	}
	if members, is := answer.(*wire.Members); is {
		s.stats.acts++
		members.Descs = slices.DeleteFunc(members.Descs, func(d wire.Descriptor) bool {
			i, known := s.byID[d.ID]
			return !known || !s.nodes[i].bad
		})
		return members
	}
	state, is := answer.(*wire.State)
	if !is {
		return answer
	}
	s.stats.acts++
	lie := &wire.State{Self: state.Self, Pred: state.Pred}
	gap := n.peer.ID
	for range len(state.Succ) {
		// A ghost just behind the last one named, then the next accomplice.
		ghost := state.Self
		ghost.ID = gap.Add(chord.ID{7: byte(1 + n.rng.IntN(255))})
		ghost.Addrs = s.adversary.peers[n.rng.IntN(len(s.adversary.peers))].Addrs
		lie.Succ = append(lie.Succ, ghost)
		gap = ghost.ID
	}
	return lie
}

func (a Attack) check() error {
	if a != NoAttack && !slices.Contains(Attacks(), string(a)) {
		return fmt.Errorf("%w: the attack %q is none of %s", ErrConfig, string(a), strings.Join(Attacks(), ", "))
	}
	return nil
}
