package simnet

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/secp2psip/secp2psip/chord"
	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// Joining, as internal/node does it: through members known from the last run
// and through those that a bootstrap server names.
const (
	joinRetry = 500 * time.Millisecond
	keepKnown = 8 // members remembered from the last run
	named     = 3 // live members that a bootstrap server names
)

// startAny starts one of the nodes that do not run, which tries to join.
func (s *Sim) startAny() {
	n := s.boot()
	if s.to > 0 {
		s.schedule(n)
	}
	s.join(event{ref: n.num, gen: n.gen})
}

// boot starts one of the nodes that do not run.
func (s *Sim) boot() *node {
	n := s.nodes[s.idle[s.rng.IntN(len(s.idle))]]
	s.move(n, &s.idle, &s.live)
	n.gen++
	n.member, n.timerAt, n.view, n.version = false, 0, nil, 0
	n.certs, n.certsAt = make([]uint64, len(s.nodes)/64+1), -1
	n.certs[n.num/64] |= 1 << (n.num % 64) // its own
	cfg := chord.MachineConfig{Self: n.peer, Members: s.cfg.Members, Budget: s.cfg.Budget, Seed: n.seed + uint64(n.gen), Refused: s.of(n).stats.refuse}
	if err := s.equip(n); err != nil {
		panic(err) // nothing of it depends on anything but the code
	}
	cfg.Verifier, cfg.Signer = notary{s.of(n), s.overlay, n}, notary{s.of(n), s.overlay, n}
	m, err := chord.NewMachine(cfg)
	if err != nil {
		panic(err) // complete has checked what it depends on
	}
	n.machine = m
	return n
}

// equip gives a node that starts what enrolment has given it, once, and a
// keeper.
func (s *Sim) equip(n *node) (err error) {
	if n.key.IsZero() {
		if n.key, err = newKey(rand.New(rand.NewPCG(n.seed, 4))); err != nil {
			return err
		}
		s.overlay.keys[n.peer.ID], s.overlay.owners[n.peer.ID] = n.key.Public(), n.peer.Owner
	}
	if !s.cfg.Plain {
		s.openKeeper(n)
	}
	return nil
}

// openKeeper gives a node that starts its keeper, and its disk.
func (s *Sim) openKeeper(n *node) {
	n.publishDue, n.via = s.now, nil
	n.person.repair = directory.Schedule{Rand: n.person.rng}
	n.person.repair.Rest(s.at(s.now))
	n.person.registered = false
	gen, sh := n.gen, s.of(n)
	n.keeping = &keeping{keeper: chord.NewKeeper(chord.KeeperConfig{
		Self: n.peer.ID, Records: n.person.store, Charter: s.overlay.trust.Charter(), RepairEvery: time.Minute,
		Rand: n.person.rng, Refused: sh.stats.refuse,
		Wake: func() {
			if n.gen == gen {
				sh.wakeKeeper(n, sh.now)
			}
		},
	})}
}

// move takes a node from one list and appends it to another.
func (s *Sim) move(n *node, from, to *[]int32) {
	last := len(*from) - 1
	moved := (*from)[last]
	(*from)[n.place] = moved
	s.nodes[moved].place = n.place
	*from = (*from)[:last]
	n.place = len(*to)
	*to = append(*to, n.num)
}

// join lets a node try to become a member.
func (s *Sim) join(e event) {
	n := s.nodes[e.ref]
	if n.gen != e.gen || n.member {
		return
	}
	if n.nat {
		s.attend(n)
		return
	}
	if len(s.ring.ids) == 0 {
		s.of(n).step(n, chord.Create{})
		return
	}
	s.of(n).step(n, chord.Join{Seeds: append(s.seeds(), n.known...)})
}

// seeds are the live members that a bootstrap server names.
func (s *Sim) seeds() (seeds []wire.Peer) {
	for range named {
		seeds = append(seeds, s.nodes[s.ring.nums[s.rng.IntN(len(s.ring.nums))]].peer)
	}
	return seeds
}

// schedule draws the end of a node's session.
func (s *Sim) schedule(n *node) {
	if s.cfg.Session == 0 {
		return
	}
	mean := float64(s.cfg.Session) / math.Ln2
	s.after(time.Duration(s.rng.ExpFloat64()*mean), event{kind: evEnd, ref: n.num, gen: n.gen})
}

// end lets a node die without a goodbye, and another take its place among the
// living.
func (s *Sim) end(e event) {
	n := s.nodes[e.ref]
	if n.gen != e.gen || !n.up() {
		return
	}
	v := n.viewOf()
	n.known = n.known[:0]
	for _, p := range append([]wire.Peer{v.Pred}, v.Succ...) {
		if len(n.known) < keepKnown && p.ID != n.peer.ID {
			n.known = append(n.known, p)
		}
	}
	s.ring.remove(n.peer.ID)
	s.of(n).unlink(n)
	n.diedAt = s.now
	n.machine, n.view, n.member, n.keeping = nil, nil, false, nil
	n.gen++
	s.move(n, &s.live, &s.idle)
	s.stats.deaths++
	s.startAny()
}
