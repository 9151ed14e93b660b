package simnet

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/secp2psip/secp2psip/chord"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// settledLife is how long the descriptors live that members of a calm ring sign
// (chord, mostLifetime); they sign anew after three quarters of it at the latest.
const settledLife = 12 * time.Hour

// form begins with a ring that has stood for long, in which nodes come and go from
// now on. What a ring of ten thousand nodes would have sent to form, fifty million
// descriptors, is spared.
func (s *Sim) form() {
	for range s.cfg.Nodes {
		s.boot()
	}
	s.ring.nums = slices.Clone(s.live)
	slices.SortFunc(s.ring.nums, func(a, b int32) int { return s.nodes[a].peer.ID.Compare(s.nodes[b].peer.ID) })
	stay := time.Duration(float64(s.cfg.Session) / math.Ln2)
	if s.cfg.Session == 0 {
		stay = 7 * 24 * time.Hour
	}
	life := min(4*stay, settledLife)
	all := make([]*chord.Member, len(s.ring.nums))
	for i, num := range s.ring.nums {
		n := s.nodes[num]
		d, err := notary{s.of(n), s.overlay, n}.SignDescriptor(wire.Descriptor{
			ID: n.peer.ID, Addrs: wire.FitAddrs(n.peer.Addrs), Seq: s.start.UnixMilli(), State: wire.NodeHere, Lifetime: uint32(life / time.Second),
		})
		if err != nil {
			panic(err) // nothing of it depends on anything but the code
		}
		all[i] = chord.NewMember(&d, n.peer.Owner)
		for _, sh := range s.shards {
			sh.members[describedAs{d.ID, d.Seq}] = vouched{all[i], num}
			sh.last[num] = vouched{all[i], num}
		}
		s.ring.ids = append(s.ring.ids, n.peer.ID)
	}
	var work sync.WaitGroup
	for w := range workers {
		work.Go(func() {
			for i := w; i < len(all); i += workers {
				s.settle(i, all)
				n := s.nodes[s.ring.nums[i]]
				rng := rand.New(rand.NewPCG(n.seed, 0x72656e6577))
				n.machine.SettleNews(all[i], stay, s.start.Add(time.Duration(rng.Int64N(int64(life*3/4)))))
			}
		})
	}
	work.Wait()
	for _, num := range s.ring.nums {
		n := s.nodes[num]
		n.member = true
		for i := range n.certs { // it has met them all
			n.certs[i] = math.MaxUint64
		}
		s.of(n).setTimer(n)
		if n.person != nil {
			s.of(n).after(time.Duration(s.rng.Int64N(int64(tendEvery))), n, event{kind: evTend, ref: n.num, gen: n.gen})
		}
	}
	s.filled = s.cfg.Nodes
	s.plan()
}
