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
	if s.lookups < s.cfg.Lookups {
		s.after(s.cfg.Duration/time.Duration(s.cfg.Lookups), event{kind: evLookup})
	}
	s.lookups++
	for range 64 { // one that has just died or not yet joined looks nothing up
		if n := s.nodes[s.live[s.rng.IntN(len(s.live))]]; n.member && !n.bad {
			target := s.randomID()
			if s.adversary.kind == Eclipse {
				target = s.adversary.target
			}
			s.route(n, target)
			return
		}
	}
}

// routing is a plain look-up under way.
type routing struct {
	ref      int32
	serial   uint32
	target   chord.ID
	search   *chord.Search
	began    int64
	parallel int
	late     int
}

const (
	routeTime  = 3 * time.Second
	routeHedge = 150 * time.Millisecond
	askTimeout = 1200 * time.Millisecond
)

func (s *Sim) route(n *node, target chord.ID) {
	s.stats.pending++
	v := n.viewOf()
	if r, ok := v.Route(target); ok {
		s.judge(target, &r, s.now, 0)
		return
	}
	r := &routing{target: target, search: chord.NewSearch(n.peer.ID, target, v.Start(target), v.Succ, s.stats.refuse), began: s.now, parallel: 3}
	if v.Complete {
		r.parallel = 1
	}
	r.ref = s.begin(n, r)
	r.serial = s.tasks.at(r.ref).serial
	s.setTaskTimer(r.ref, routeHedge)
	r.advance(s, n)
}

func (r *routing) advance(s *Sim, n *node) {
	for r.search.Flying() < r.parallel {
		p, ask, ok := r.search.Next()
		if !ok {
			break
		}
		s.send(n, p, ask, askTimeout, uint64(r.serial), r.ref)
	}
	route, final, ok := r.search.Result()
	switch {
	case final:
		r.done(s, &route)
	case r.search.Flying() == 0:
		r.done(s, nil)
	case s.now-r.began >= int64(routeTime), r.late >= 3 && route.Responsible.ID != chord.ID{}:
		if !ok && r.late < 3 {
			r.done(s, nil)
			return
		}
		r.done(s, &route)
	}
}

func (r *routing) answer(s *Sim, n *node, id chord.ID, msg wire.Message, rtt time.Duration) {
	r.search.Answer(id, msg, rtt)
	if msg == nil {
		r.parallel = max(r.parallel, 3)
	}
	r.advance(s, n)
}

func (r *routing) timer(s *Sim, n *node) {
	if _, _, ok := r.search.Result(); ok {
		r.late = 3
	}
	r.late++
	r.parallel = max(3, min(r.parallel+1, 6))
	s.setTaskTimer(r.ref, routeHedge)
	r.advance(s, n)
}

func (r *routing) done(s *Sim, route *chord.Route) {
	s.tasks.put(r.ref)
	s.judge(r.target, route, r.began, depth(r.search.Hops()))
}

func (r *routing) died(s *Sim) {
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
// names. nil is no route.
func (s *Sim) judge(target chord.ID, r *chord.Route, began int64, hops int) {
	st := &s.stats
	st.pending--
	st.judged++
	if r == nil {
		st.refused++
		return
	}
	st.took = append(st.took, s.now-began)
	st.hops = append(st.hops, hops)
	owner := s.ring.owner(target)
	if r.Responsible.ID == owner {
		st.exact++
	}
	for _, p := range append([]wire.Peer{r.Responsible}, r.Successors...) {
		if i, found := s.byID[p.ID]; found && s.nodes[i].member {
			if p.ID == owner {
				st.right++
				return
			}
			break
		}
	}
	st.wrong++
}
