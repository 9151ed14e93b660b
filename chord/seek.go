package chord

import (
	"context"
	"fmt"
	"time"

	"github.com/secp2psip/secp2psip/chord/zave"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// The bounds of the time after which a second node is asked beside a first one
// that has not answered yet.
const (
	hedgeLeast   = 25 * time.Millisecond
	hedgeUnknown = 150 * time.Millisecond
	hedgeMost    = 400 * time.Millisecond
)

// Seeking is one look-up with its timers as a step function. It asks three
// members at a time, or one while the table holds the whole ring, a few more
// while some take long, and takes at most 3 s. Its effects are of kind Send.
type Seeking struct {
	calls
	target   ID
	search   *Search
	parallel int
	late     int       // waits that have passed
	more     time.Time // when another member is asked
	end      time.Time
	doubted  bool // more was put off once
	route    Route
	err      error
	over     bool
}

// NewSeeking returns a look-up of target. Its first step, with a Tick, begins
// it.
func NewSeeking(at Vantage, target ID) *Seeking {
	return &Seeking{calls: calls{at: at}, target: target}
}

// Step takes in what has happened and returns the calls to be made. The slice
// is valid until the next step.
func (s *Seeking) Step(now time.Time, ev Event) []Effect {
	s.begin()
	if s.over {
		return nil
	}
	if s.search == nil && !s.start(now) {
		return nil
	}
	switch ev := ev.(type) {
	case Result:
		if !s.answer(now, ev) {
			return nil
		}
	case GiveUp:
		s.giveUp(ev.Err)
	default:
		s.tick(now)
	}
	s.ask()
	return s.out
}

// start ends the look-up at once where the node itself has the answer.
func (s *Seeking) start(now time.Time) bool {
	v := s.at.View
	if !v.joined() && !v.Attending() {
		s.finish(Route{}, ErrNotJoined)
		return false
	}
	if r, ok := v.route(s.target); ok {
		s.finish(r, nil)
		return false
	}
	first := v.start(s.target)
	s.search = NewSearch(v.Self.ID, s.target, first, v.Succ, s.at.Refused)
	s.search.client = v.Attending()
	s.search.hold(v.following(s.target))
	s.parallel = searchParallel
	if v.Complete || s.at.Calm {
		s.parallel = 1 // whoever precedes the target is known, or there is time; the others are a reserve
	}
	s.more = now.Add(v.hedge(first[0].ID))
	s.end = now.Add(lookupTime + s.at.Patience)
	return true
}

// answer takes in one; it reports false when it was not waited for.
func (s *Seeking) answer(now time.Time, r Result) bool {
	p, ok := s.landed(r)
	if !ok {
		return false
	}
	msg := r.Msg
	if problem(r) != nil {
		msg = nil
		s.widen(searchParallel)
	}
	_, _, before := s.search.Result()
	s.search.Answer(p.ID, msg, r.RTT)
	if _, _, named := s.search.Result(); named && !before {
		s.more = now.Add(hedgeUnknown) // for those who may know better
	}
	return true
}

func (s *Seeking) tick(now time.Time) {
	if !now.Before(s.end) {
		s.giveUp(context.DeadlineExceeded)
		return
	}
	if now.Before(s.more) {
		return
	}
	r, _, ok := s.search.Result()
	if ok {
		if wait := s.doubt(); wait > 0 {
			s.parallel = max(s.parallel, searchParallel) // a second member may know
			s.more = now.Add(wait)
			return
		}
	}
	if s.late++; ok || s.late >= searchLate && r.Responsible.ID != (ID{}) {
		s.finish(r, nil) // whoever lies closer takes too long
		return
	}
	s.widen(searchMost)
	s.more = now.Add(hedgeUnknown)
}

// doubt returns how long to wait, once, for those who may contradict what has been
// said: not much longer than a round trip, since one that does not answer has
// probably died.
func (s *Seeking) doubt() time.Duration {
	from, waits := s.search.doubtful()
	if !waits || s.doubted {
		return 0
	}
	s.doubted = true
	if known := s.at.View.members.find(from); known != nil && known.rtt > 0 {
		return s.at.View.hedge(from)
	}
	return confirmTime
}

// widen lets more members be asked at a time: at once where somebody waits.
func (s *Seeking) widen(most int) {
	if s.at.Calm {
		s.parallel = max(s.parallel, min(s.parallel+1, searchParallel))
		return
	}
	s.parallel = max(s.parallel, searchParallel, min(s.parallel+1, most))
}

func (s *Seeking) giveUp(why error) {
	if r, _, ok := s.search.Result(); ok {
		s.finish(r, nil)
		return
	}
	s.finish(Route{Hops: s.search.Hops()}, fmt.Errorf("%w: %w", ErrNoRoute, why))
}

// ask fills the places of the queries, and ends the look-up when it has its
// result or nobody is left.
func (s *Seeking) ask() {
	for !s.over && s.search.Flying() < s.parallel {
		p, msg, ok := s.search.Next()
		if !ok {
			break
		}
		s.send(p, msg)
	}
	if s.over {
		return
	}
	r, final, _ := s.search.Result()
	switch {
	case final:
		s.finish(r, nil)
	case s.search.Flying() == 0:
		s.finish(Route{Hops: s.search.Hops()}, s.search.Err())
	}
}

func (s *Seeking) finish(r Route, err error) {
	s.route, s.err, s.over = r, err, true
	s.out = s.out[:0]
}

// Deadline returns when the look-up wants a Tick at the latest.
func (s *Seeking) Deadline() time.Time { return sooner(s.more, s.end) }

// Result returns the outcome once done is true. The calls still under way then
// matter no more.
func (s *Seeking) Result() (r Route, done bool, err error) { return s.route, s.over, s.err }

func (s *Seeking) ended() bool { return s.over }

// joined reports whether the node is a member that may speak for its part.
func (v *View) joined() bool { return v.Phase == PhaseJoined && v.Settled }

// route answers a look-up from the node's own neighbourhood, where that has
// the answer.
func (v *View) route(target ID) (Route, bool) {
	switch {
	case v.Attending():
	case len(v.Succ) == 0 || v.Responsible(target):
		return Route{Responsible: v.Self, Successors: v.Succ}, true
	case zave.Owns(v.Self.ID, target, v.Succ[0].ID):
		return Route{Responsible: v.Succ[0], Successors: v.Succ[1:]}, true
	}
	return Route{}, false
}

// start returns whom a look-up may begin with: the members that precede the
// target most closely and, should those be dead, the neighbours.
func (v *View) start(target ID) []wire.Peer {
	var buf [2 * searchParallel]*contact
	var out []wire.Peer
	from := v.Self.ID
	if v.Attending() {
		from = target // the whole circle
	}
	for _, c := range v.members.before(from, target, len(buf), buf[:0]) {
		out = append(out, c.peer())
	}
	for _, p := range v.Succ {
		if between(v.Self.ID, p.ID, target) {
			out = append(out, p)
		}
	}
	switch {
	case len(out) > 0:
	case v.Attending(): // the only member that it knows lies at the target
		out = append(out, v.Peers()[0])
	default:
		out = append(out, v.Succ[0])
	}
	return out
}

// hedge returns how long to wait for a node before another is asked, too: three
// times its round trip.
func (v *View) hedge(id ID) time.Duration {
	if c := v.members.find(id); c != nil {
		if rtt := c.roundTrip(); rtt > 0 {
			return min(max(3*rtt, hedgeLeast), hedgeMost)
		}
	}
	return hedgeUnknown
}
