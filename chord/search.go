package chord

import (
	"slices"
	"time"

	"github.com/secp2psip/secp2psip/chord/zave"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// The bounds of one look-up.
const (
	searchParallel = 3  // queries at a time
	searchMost     = 6  // the same while some take long
	searchSource   = 2  // the same to members that one other has named
	searchQueries  = 24 // queries in all: the hop cap
	searchKeep     = 32 // members to ask, at most
	searchLate     = 3  // waits after which the asking node's own list decides
)

// HopOutcome tells how a query of a look-up ended.
type HopOutcome string

// The outcomes of a query.
const (
	HopCloser     HopOutcome = "closer"      // it named members closer to the target
	HopDone       HopOutcome = "done"        // it named the responsible node
	HopNoProgress HopOutcome = "no_progress" // it named nobody closer
	HopFailed     HopOutcome = "failed"      // it did not answer, or not sensibly
)

// Hop is one query of a look-up.
type Hop struct {
	Peer    wire.Peer
	From    ID // who named it; the asking node's own ID when its table did
	RTT     time.Duration
	Outcome HopOutcome
}

// Route is where a look-up led.
type Route struct {
	Responsible wire.Peer
	Successors  []wire.Peer // of the responsible node, nearest first
	Hops        []Hop       // the queries that were answered or failed, in that order
}

// candidate is a member that may be asked.
type candidate struct {
	peer    wire.Peer
	from    ID
	state   candidateState
	listed  bool // it has been asked for its successor list, too
	witness bool // to hold what another has said against it
}

type candidateState uint8

const (
	fresh candidateState = iota
	asking
	heardFrom
	failed
)

// Search is one iterative look-up without sockets or clock: the caller asks
// whom Next gives, several at a time, and hands in the answers. Every answer
// must make progress towards the target: a member that it names lies strictly
// between the one asked and the target.
//
// Where the member that precedes the target is dead, nobody may know yet. Then
// the closest one that answers is asked for its successor list, which leads past
// the dead.
type Search struct {
	self   ID
	target ID
	cands  []candidate // closest to the target first
	asked  int
	flying int
	client bool   // the asking node is no member
	done   *Route // what the closest member that knows has said
	doneBy ID
	hops   []Hop
	refuse func(string)

	near      []wire.Peer // at the target and after it, as the asking node knows them
	claims    []claim
	rivals    []rival // nearest first
	witnesses int     // asked
	owner     *Route  // of a rival that has answered
}

// NewSearch begins a look-up of target with the members that start names. own is
// the asking node's successor list, which has the answer if everybody between
// it and the target turns out to be dead; it may be empty.
func NewSearch(self, target ID, start, own []wire.Peer, refused func(reason string)) *Search {
	if refused == nil {
		refused = func(string) {}
	}
	s := &Search{self: self, target: target, refuse: refused}
	for _, p := range start {
		s.add(p, self)
	}
	for k, p := range own {
		if !between(self, p.ID, target) {
			s.done, s.doneBy = &Route{Responsible: p, Successors: ordered(own[k:])}, self
			break
		}
	}
	return s
}

// add queues a member, in the order of its distance before the target.
func (s *Search) add(p wire.Peer, from ID) {
	if p.ID == s.self {
		return
	}
	d := p.ID.Distance(s.target)
	i, found := slices.BinarySearchFunc(s.cands, d, func(c candidate, d ID) int {
		return c.peer.ID.Distance(s.target).Compare(d)
	})
	if found || i >= searchKeep {
		return
	}
	s.cands = slices.Insert(s.cands, i, candidate{peer: p, from: from})
	if n := len(s.cands); n > searchKeep && s.cands[n-1].state != asking {
		s.cands = s.cands[:n-1]
	}
}

// Next returns whom to ask what next; ok is false when there is nobody for now,
// or the hop cap is reached.
func (s *Search) Next() (p wire.Peer, ask wire.Message, ok bool) {
	if s.flying >= searchMost || s.asked >= searchQueries {
		return wire.Peer{}, nil, false
	}
	for i := range s.cands {
		c := &s.cands[i]
		if s.done != nil && !between(s.doneBy, c.peer.ID, s.target) {
			break // farther away than the one who knew
		}
		switch {
		case c.state == fresh && s.asking(c.from) < searchSource:
			ask = &wire.Find{Target: s.target}
		case c.state == heardFrom && !c.listed:
			ask = s.askList(c.peer.ID)
			c.listed = true
		default:
			continue
		}
		c.state = asking
		s.asked++
		s.flying++
		return c.peer, ask, true
	}
	return s.confirm()
}

// askList asks a member for its successor list. Only members ask for states:
// who is none asks who is responsible for the place just past the member.
func (s *Search) askList(id ID) wire.Message {
	if s.client {
		return &wire.Find{Target: succOf(id)}
	}
	return &wire.GetState{}
}

// asking counts the queries under way to members that from has named. One
// member's advice does not take all places.
func (s *Search) asking(from ID) (count int) {
	if from == s.self {
		return 0
	}
	for i := range s.cands {
		if s.cands[i].state == asking && s.cands[i].from == from {
			count++
		}
	}
	return count
}

// Flying returns how many queries are under way.
func (s *Search) Flying() int { return s.flying }

// Answer takes in what the member id said; msg is nil when it said nothing.
func (s *Search) Answer(id ID, msg wire.Message, rtt time.Duration) {
	if i := slices.IndexFunc(s.rivals, func(r rival) bool { return r.peer.ID == id && r.state == asking }); i >= 0 {
		s.flying--
		s.hops = append(s.hops, Hop{Peer: s.rivals[i].peer, From: s.doneBy, RTT: rtt, Outcome: s.rivalAnswered(i, msg)})
		return
	}
	i := slices.IndexFunc(s.cands, func(c candidate) bool { return c.peer.ID == id && c.state == asking })
	if i < 0 {
		return
	}
	s.flying--
	c := s.cands[i]
	hop := Hop{Peer: c.peer, From: c.from, RTT: rtt, Outcome: HopFailed}
	switch msg := msg.(type) {
	case *wire.Found:
		s.cands[i].state = heardFrom
		if c.listed && s.client {
			hop.Outcome = s.listed(id, &wire.State{Succ: msg.Peers})
			break
		}
		hop.Outcome = s.found(id, msg)
	case *wire.State:
		s.cands[i].state = heardFrom
		hop.Outcome = s.listed(id, msg)
	default:
		s.cands[i].state = failed
	}
	s.hops = append(s.hops, hop)
}

// listed takes in the successor list of the member id. Those before the target
// are asked; the first one at the target or after it is responsible if all of
// those are dead.
func (s *Search) listed(id ID, st *wire.State) HopOutcome {
	outcome, last := HopNoProgress, id
	list := st.Succ[:min(len(st.Succ), zave.MaxSuccessors)]
	for k, p := range list {
		if !between(last, p.ID, id) {
			s.refuse(RefusedNoProgress)
			break
		}
		last = p.ID
		if between(id, p.ID, s.target) {
			s.add(p, id)
			outcome = HopCloser
			continue
		}
		s.claimed(id, p)
		if s.done == nil || between(s.doneBy, id, s.target) {
			s.done = &Route{Responsible: p, Successors: ordered(list[k:])}
			s.doneBy = id
		}
		return HopDone
	}
	return outcome
}

func (s *Search) found(id ID, f *wire.Found) HopOutcome {
	if f.Done {
		if len(f.Peers) == 0 || !s.plausible(id, f.Peers[0].ID) {
			s.refuse(RefusedNoProgress)
			return HopNoProgress
		}
		s.claimed(id, f.Peers[0])
		if s.done == nil || between(s.doneBy, id, s.target) {
			s.done = &Route{Responsible: f.Peers[0], Successors: ordered(f.Peers)}
			s.doneBy = id
		}
		return HopDone
	}
	outcome := HopNoProgress
	for _, p := range f.Peers[:min(len(f.Peers), nextHops)] {
		if !between(id, p.ID, s.target) {
			s.refuse(RefusedNoProgress)
			continue
		}
		outcome = HopCloser
		s.add(p, id)
	}
	return outcome
}

// ordered returns what follows peers[0], as far as it goes clockwise.
func ordered(peers []wire.Peer) []wire.Peer {
	last := peers[0].ID
	var out []wire.Peer
	for _, p := range peers[1:min(len(peers), zave.MaxSuccessors+1)] {
		if p.ID == peers[0].ID || !between(last, p.ID, peers[0].ID) {
			continue // a suspect that was put last, or nonsense
		}
		out = append(out, p)
		last = p.ID
	}
	return out
}

// Result returns the route, once somebody has named the responsible node (ok),
// or as the asking node's own list has it. It is final when no member that lies
// closer to the target may still say otherwise.
func (s *Search) Result() (r Route, final, ok bool) {
	if s.done == nil {
		return Route{}, false, false
	}
	ok = s.doneBy != s.self
	r = *s.best()
	r.Hops = s.hops
	for _, c := range s.cands {
		if !between(s.doneBy, c.peer.ID, s.target) {
			break
		}
		if c.state == asking || c.state == fresh && s.asked < searchQueries {
			return r, false, ok
		}
	}
	return r, !ok || s.sure(), ok
}

// Err returns why a look-up that has nobody left to ask has failed.
func (s *Search) Err() error {
	if s.asked >= searchQueries {
		return ErrHops
	}
	return ErrNoRoute
}

// Hops returns the queries so far.
func (s *Search) Hops() []Hop { return s.hops }
