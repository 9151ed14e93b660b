package simnet

import (
	"slices"
	"time"

	"github.com/secp2psip/secp2psip/internal/wire"
)

// A run on two processors: the nodes are parted by where they live, and each part
// is a shard with a clock, a queue and a goroutine of its own. What a node of one
// shard sends takes at least Sim.ahead to reach one of the other, so both may run
// for so long without looking at each other (conservative parallel simulation,
// Chandy and Misra 1979). Then what they have sent is exchanged, and what all of
// the run is about happens while both stand still: starts, deaths, look-ups,
// verdicts.
//
// Nothing depends on who is in which shard: every node draws its chances itself,
// and what happens at one time happens in the order of the nodes' numbers and, for
// one node, in the order in which it was arranged.

// shard is a part of the nodes and what happens to them. It is owned by one
// goroutine at a time.
type shard struct {
	*Sim
	index int
	now   int64 // ns since start
	queue queue
	calls slab[call]
	tasks slab[task]
	stats stats

	replies []reply // of the step under way
	out     []transit
	notes   []note
	members map[describedAs]vouched // that its nodes have verified
	last    []vouched               // of them, by number
	notices map[wire.Notice]bool
	stamps  uint32 // of calls
}

// transit is what a shard sends to the other.
type transit struct {
	event
	call   call         // of a request
	answer wire.Message // of an answer
}

// note is what a shard has to say about the whole run.
type note struct {
	at  int64
	seq uint64
	say func(*Sim)
}

// newShard returns one that is empty.
func newShard(s *Sim, index int) *shard {
	sh := &shard{Sim: s, index: index, members: make(map[describedAs]vouched), last: make([]vouched, len(s.nodes)), notices: make(map[wire.Notice]bool)}
	sh.stats.init()
	return sh
}

// of returns the shard of a node.
func (s *Sim) of(n *node) *shard { return s.shards[n.shard] }

// order numbers what a node arranges, among all that happens at one time.
func (n *node) order() uint64 {
	n.arranged++
	return uint64(n.num)<<40 | n.arranged
}

// push arranges something that n has to do with.
func (s *shard) push(n *node, e event) {
	e.seq = n.order()
	s.queue.push(e)
}

func (s *shard) after(d time.Duration, n *node, e event) {
	e.at = s.now + int64(max(d, 0))
	s.push(n, e)
}

// tell has the whole run note something once the other shard is as far.
func (s *shard) tell(n *node, say func(*Sim)) {
	s.notes = append(s.notes, note{s.now, n.order(), say})
}

// measuring tells whether what happens now counts.
func (s *shard) measuring() bool { return s.from > 0 && s.now >= s.from && s.now < s.to }

// until runs what happens before a time.
func (s *shard) until(limit int64) {
	for len(s.queue.heap) > 0 && s.queue.heap[0].at < limit {
		e := s.queue.pop()
		if e.at < s.now {
			panic("simnet: an event in the past") // a fault of the simulator's own
		}
		s.now = e.at
		s.happen(e)
	}
}

func (s *shard) happen(e event) {
	switch e.kind {
	case evTimer:
		s.timer(e)
	case evRequest:
		s.arrive(e)
	case evAnswer:
		s.answered(e)
	case evTask:
		s.taskTimer(e)
	case evKeep:
		s.keepTimer(e)
	case evTend:
		s.tend(e)
	case evClose:
		s.closed(e)
	}
}

// receive takes in what the other shard has sent.
func (s *shard) receive(sent []transit) {
	for i := range sent {
		t := &sent[i]
		switch t.kind {
		case evRequest:
			t.ref = s.calls.take()
			*s.calls.at(t.ref) = t.call
		case evAnswer:
			c := s.calls.at(t.ref)
			if c.stamp != t.gen {
				continue // not awaited any more
			}
			c.answer = t.answer
		}
		s.queue.push(t.event)
	}
}

// work starts what runs the second shard while the caller runs the first, and
// returns what stops it.
func (s *Sim) work() (stop func()) {
	if s.cfg.alone || len(s.shards) == 1 {
		s.run = func(limit int64) {
			for _, sh := range s.shards {
				sh.until(limit)
			}
		}
		return func() {}
	}
	limits, done := make(chan int64), make(chan struct{})
	go func() {
		for limit := range limits {
			s.shards[1].until(limit)
			done <- struct{}{}
		}
		close(done)
	}()
	s.run = func(limit int64) {
		limits <- limit
		s.shards[0].until(limit)
		<-done
	}
	return func() {
		close(limits)
		<-done
	}
}

// exchange lets the shards have what they sent one another, and the run hear what
// they noted, in the order in which it happened.
func (s *Sim) exchange() {
	s.heard = s.heard[:0]
	for _, sh := range s.shards {
		for _, other := range s.shards {
			if other != sh {
				other.receive(sh.out)
			}
		}
		clear(sh.out)
		sh.out = sh.out[:0]
		s.heard = append(s.heard, sh.notes...)
		clear(sh.notes)
		sh.notes = sh.notes[:0]
	}
	slices.SortFunc(s.heard, func(a, b note) int {
		if a.at != b.at {
			return int(min(1, max(-1, a.at-b.at)))
		}
		if a.seq < b.seq {
			return -1
		}
		return 1
	})
	for i := range s.heard {
		s.now = s.heard[i].at
		s.heard[i].say(s)
		s.heard[i] = note{}
	}
}

// leastAhead is how far apart the shards are to be, where there is a choice.
const leastAhead = int64(15 * time.Millisecond)

// part divides the nodes by cities, as evenly as goes with shards that lie far
// enough apart.
func (s *Sim) part() {
	cities := len(s.cities.names)
	homes := make([]int, cities)
	for _, n := range s.nodes {
		homes[n.city]++
	}
	best, most := uint32(0), -1
	for in := uint32(1); in < 1<<(cities-1); in++ { // the last city is never in
		if ahead, fewer := s.lookahead(in, homes); ahead >= leastAhead && fewer > most {
			best, most, s.ahead = in, fewer, ahead+int64(2*accessLeast)
		}
	}
	for i := range s.cfg.shards {
		s.shards = append(s.shards, newShard(s, i))
	}
	for _, n := range s.nodes {
		if best>>n.city&1 == 1 {
			n.shard = uint8(1 % s.cfg.shards)
		}
	}
}

// lookahead returns the shortest way between the cities in a set and the others,
// and how many nodes live on the side that has fewer of them.
func (s *Sim) lookahead(in uint32, homes []int) (ahead int64, fewer int) {
	inside, outside := 0, 0
	shortest := time.Duration(1<<62 - 1)
	for i, n := range homes {
		if in>>i&1 == 0 {
			outside += n
			continue
		}
		inside += n
		for j := range homes {
			if in>>j&1 == 0 {
				shortest = min(shortest, s.cities.delay[i][j], s.cities.delay[j][i])
			}
		}
	}
	return int64(shortest), min(inside, outside)
}
