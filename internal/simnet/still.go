package simnet

import (
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/secp2psip/secp2psip/chord"
	"github.com/secp2psip/secp2psip/chord/zave"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// A still ring, for routing only: it stands when the run begins, nobody comes or
// goes, and nobody looks after anything. The machines are the product's and so is
// every next hop that they name; their tables hold what a node in a ring of that
// size would have learnt: its neighbours, its fingers, and members drawn from the
// whole ring up to the bound of the table.

// stillMembers is the bound of the tables in rings that are larger, so that a
// hundred thousand of them fit into memory.
const (
	stillMembers = 2048
	minStill     = 10
)

// workers is how many goroutines build what a run begins with.
const workers = 2

// stand builds the ring. Each node draws from a generator of its own, so that two
// processors give what one gives.
func (s *Sim) stand() {
	for len(s.idle) > 0 {
		n := s.nodes[s.idle[len(s.idle)-1]]
		s.move(n, &s.idle, &s.live)
		n.gen++
		n.member = true
	}
	s.ring.nums = slices.Clone(s.live)
	slices.SortFunc(s.ring.nums, func(a, b int32) int { return s.nodes[a].peer.ID.Compare(s.nodes[b].peer.ID) })
	all := make([]*chord.Member, len(s.nodes))
	for i, num := range s.ring.nums {
		s.ring.ids = append(s.ring.ids, s.nodes[num].peer.ID)
		all[i] = &chord.Member{Peer: s.nodes[num].peer}
	}
	var work sync.WaitGroup
	for w := range workers {
		work.Go(func() {
			for i := w; i < len(all); i += workers {
				n := s.nodes[s.ring.nums[i]]
				m, err := chord.NewMachine(chord.MachineConfig{Self: n.peer, Members: s.tableMost(), Seed: n.seed})
				if err != nil {
					panic(err) // complete has checked what it depends on
				}
				n.machine = m
				s.settle(i, all)
			}
		})
	}
	work.Wait()
	s.filled = len(s.live)
	if s.cfg.Names > 0 {
		if err := s.house(); err != nil {
			panic(err) // nothing of it depends on anything but the code
		}
	}
	s.plan()
}

// tableMost is how many members a table takes.
func (s *Sim) tableMost() int {
	switch {
	case s.cfg.Members > 0:
		return s.cfg.Members
	case s.cfg.RoutingOnly:
		return min(stillMembers, chord.MaxMembers)
	}
	return chord.MaxMembers
}

// settle gives the i-th node of the ring its place and its table.
func (s *Sim) settle(i int, all []*chord.Member) {
	n := s.nodes[s.ring.nums[i]]
	most := s.tableMost()
	self := n.peer.ID
	var succ [zave.MaxSuccessors]chord.ID
	var known []int // places in all
	for k := range succ {
		at := (i + 1 + k) % len(all)
		succ[k] = all[at].ID
		known = append(known, at)
	}
	pred := (i + len(all) - 1) % len(all)
	known = append(known, pred)
	for bit := range 128 {
		var d chord.ID
		d[15-bit/8] = 1 << (bit % 8)
		at, _ := s.ring.search(self.Add(d))
		if at %= len(all); at != known[len(known)-1] && all[at].ID != succ[0] {
			known = append(known, at)
		}
	}
	rng := rand.New(rand.NewPCG(n.seed, 0x7374696c6c))
	switch {
	case len(all) <= most:
		known = known[:0]
		for at := range all {
			known = append(known, at)
		}
	case len(all) <= 4*most: // so many that drawing one by one would draw some twice
		known = append(known, rng.Perm(len(all))[:max(0, most-len(known))]...)
	default:
		for len(known) < most {
			known = append(known, rng.IntN(len(all)))
		}
	}
	slices.Sort(known)
	table := make([]*chord.Member, 0, len(known))
	for _, at := range slices.Compact(known) {
		table = append(table, all[at])
	}
	n.machine.Settle(s.start, zave.State{Self: self, R: zave.MaxSuccessors, Pred: all[pred].ID, Succ: zave.MakeList(succ[:min(len(succ), len(all)-1)]...)}, table, len(all) <= most)
}

// frozen is what a still ring's node does with a request: its machine answers at
// the time at which it was made, so that nothing is ever due, and wants nothing
// else done.
func (s *shard) frozen(n, from *node, msg wire.Message) (answer wire.Message) {
	for _, e := range n.machine.Step(s.start, chord.Request{From: from.peer, Msg: msg}) {
		if e.Kind == chord.Reply {
			answer = e.Msg
		}
	}
	return answer
}
