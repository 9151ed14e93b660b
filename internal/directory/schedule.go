package directory

import (
	"math/rand/v2"
	"time"
)

// How often an owner looks after its records on the ring: all is well;
// something was missing or silent; the ring has just lost members, with whom
// both holders of a place may have gone.
const (
	repairEvery = 10 * time.Minute
	repairSoon  = 15 * time.Second
	repairRest  = 30 * time.Second // at least between two rounds that losses bring about
	lossSettle  = 8 * time.Second  // from losses to the round: the ring repairs itself first
)

// Schedule says when an owner repairs its records next. The zero value is due
// at once. One goroutine at a time uses it.
type Schedule struct {
	Rand *rand.Rand // nil = any; a simulation's own

	next  time.Time
	last  time.Time // start of the last round
	most  int       // members that were known at once since then
	bad   int       // rounds in a row that met silence
	least int       // a count below this has been acted on
}

// Due reports whether a round is due, members being how many members of the
// ring are known now, below 0 where that says nothing about losses.
func (s *Schedule) Due(now time.Time, members int) bool {
	s.most = max(s.most, members)
	if lost := s.most - members; members >= 0 && lost > 0 && 10*lost >= s.most && members < s.least {
		s.least = members
		soon := now.Add(s.spread(lossSettle))
		if rested := s.last.Add(repairRest); soon.Before(rested) {
			soon = rested
		}
		if soon.Before(s.next) {
			s.next = soon
		}
	}
	return !now.Before(s.next)
}

// Begin notes that a round begins. It ends with Done, or counts as failed.
func (s *Schedule) Begin(now time.Time, members int) {
	s.last, s.most, s.least = now, members, members
	s.next = now.Add(repairRest + repairSoon)
}

// Done takes in how the round has ended.
func (s *Schedule) Done(now time.Time, r Repairs) {
	wait := repairEvery
	if r.Silent > 0 || r.Stored < r.Missing {
		wait = min(repairSoon<<s.bad, repairEvery)
		s.bad = min(s.bad+1, 8)
	} else {
		s.bad = 0
	}
	s.next = now.Add(s.spread(wait))
}

// spread returns d, give or take a quarter, so that owners do not step together.
func (s *Schedule) spread(d time.Duration) time.Duration { return d*3/4 + s.below(d/2) }

func (s *Schedule) below(d time.Duration) time.Duration {
	if s.Rand != nil {
		return time.Duration(s.Rand.Int64N(int64(d)))
	}
	return rand.N(d) // #nosec G404 -- spreads load over time
}

// Rest puts the first round off to a time within the usual pause: the records
// have been on the ring in an earlier run, and others have kept them there. Where
// programs are restarted often, looking at each start would be most of what the
// ring has to do.
func (s *Schedule) Rest(now time.Time) { s.next = now.Add(s.below(repairEvery)) }
