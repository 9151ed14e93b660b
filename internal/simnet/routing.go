package simnet

import (
	"time"

	"github.com/secp2psip/secp2psip/chord"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// lookup lets a random member look something up, and says when the next one
// does: all of them spread evenly over what is measured.
func (s *Sim) lookup() {
	if s.now >= s.to {
		return
	}
	s.lookups++
	if s.lookups < s.cfg.Lookups {
		s.after(s.cfg.Duration/time.Duration(s.cfg.Lookups), event{kind: evLookup})
	}
	for range 64 { // one that has just died or not yet joined looks nothing up
		n := s.nodes[s.live[s.rng.IntN(len(s.live))]]
		if !n.serving() || n.bad {
			continue
		}
		if s.cfg.Cold {
			s.chill(n)
		}
		if s.cfg.Names > 0 {
			s.resolveStill(n)
			return
		}
		if !s.cfg.Plain {
			s.resolve(n) // and the way to some position beside it
		}
		target := s.randomID()
		if s.adversary.kind == Eclipse {
			target = s.adversary.target
		}
		s.route(n, target)
		return
	}
}

// route is a plain look-up.
func (s *Sim) route(n *node, target chord.ID) {
	s.stats.pending++
	began := s.now
	sh := s.of(n)
	seek := chord.NewSeeking(sh.vantage(n), target)
	sh.begin(n, &onRing{
		errand: seek,
		over:   func() bool { _, done, _ := seek.Result(); return done },
		then: func(s *shard, n *node) {
			r, _, err := seek.Result()
			s.tell(n, func(s *Sim) { s.judge(target, &r, err, began) })
		},
		gone: func(s *shard) { s.tell(n, abandon) },
	})
}

// abandon forgets a look-up whose node died.
func abandon(s *Sim) {
	s.stats.pending--
	s.stats.abandoned++
}

// depth returns how many queries, one after the other, led to the first answer
// that names the responsible node.
func depth(hops []chord.Hop) int {
	from := make(map[chord.ID]int, len(hops)) // depth of those asked
	most := 0
	for _, h := range hops {
		d := from[h.From] + 1
		from[h.Peer.ID] = max(from[h.Peer.ID], d)
		most = max(most, d)
		if h.Outcome == chord.HopDone {
			return d
		}
	}
	return most
}

// judge holds a route against the ring as it is. The caller passes by dead
// nodes at once, so what counts is the first live one of those that the route
// names.
func (s *Sim) judge(target chord.ID, r *chord.Route, err error, began int64) {
	st := &s.stats
	st.pending--
	st.routes++
	st.longest = max(st.longest, s.now-began)
	if err != nil {
		s.verdict(&st.refused)
		return
	}
	if s.cfg.Plain {
		st.took = append(st.took, s.now-began)
	}
	st.hops = append(st.hops, depth(r.Hops))
	owner := s.ring.owner(target)
	if r.Responsible.ID == owner {
		st.exact++
	}
	for _, p := range append([]wire.Peer{r.Responsible}, r.Successors...) {
		if _, member := s.ring.search(p.ID); member {
			if p.ID == owner {
				st.routed++
				s.verdict(&st.right)
				return
			}
			break
		}
	}
	s.verdict(&st.wrong)
}

// verdict counts a plain look-up, where those are what is judged.
func (s *Sim) verdict(count *int) {
	if s.cfg.Plain {
		s.stats.judged++
		*count++
	}
}
