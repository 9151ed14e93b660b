package directory

import (
	"math/rand/v2"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
)

// Setting is what the step functions of this package need of the node that
// runs them. Each step function has its own Rand; all else may be shared.
type Setting struct {
	Trust   *identity.Trust
	Now     func() time.Time             // overlay time
	Members func() int                   // how many members the node knows, itself included; 0 in no ring
	Self    identity.OwnerTag            // whose node it is
	Keys    func() []identity.PrivateKey // that open sealed registrations; nil = none
	Refused func(reason string)
	Pace    *Pace
	Rand    *rand.Rand

	Timeout time.Duration // of one resolution, reading or publication
	Listen  time.Duration // how long a resolution listens on
	Watch   int           // share positions read beyond the k, while listening; 0 or less = none

	// Hidden has as few positions asked as it takes: each further one is another
	// holder that may be of those who want to know who asks. So it is one
	// registration and k shares, none beside one that is late, and none to listen on
	// unless the k were too few people's. What is lost is a second opinion: a holder
	// that answers with an old registration is believed, and a second key is heard by
	// fewer; but whoever hides his look-ups looks himself up, and hears it.
	Hidden bool
}

// Call is something that a step wants of the ring: that a record is stored at a
// position, or that what lies there is read.
type Call struct {
	ID       int // comes back with what became of it
	Position identity.NodeID
	Store    *record.Record // nil: read

	Kind     record.Kind // of what is read
	Resource identity.NodeID
	Part     *uint64 // nil: all parts

	replica int
}

// Event is something that happens to a step function.
type Event interface{ event() }

type (
	// Tick: time has passed.
	Tick struct{}
	// Read: a Call that reads has come out. With Err nil the other fields are
	// those of the Ring's Answer, and Found is what Examine made of its Records.
	Read struct {
		Call        int
		Holder      Holder
		Responsible bool
		Found       Findings
		Took        time.Duration
		Err         error
	}
	// Written: a Call that stores has come out as Ring.Store says.
	Written struct {
		Call    int
		Holders []Holder
		Took    time.Duration
		Err     error
	}
	// GiveUp: nobody waits any more. The result is final at once.
	GiveUp struct{ Err error }
)

func (Tick) event()    {}
func (Read) event()    {}
func (Written) event() {}
func (GiveUp) event()  {}

// Findings is what Examine has found in the records of an answer, verified as
// far as one answer alone can be.
type Findings struct {
	list   []finding          // of a resolution
	newest []*record.Verified // of a reading
	empty  bool               // there was no record
	has    bool               // of a repair: the record, or a newer one, is there
}

// errand is a step function of this package.
type errand interface {
	// Step takes in what has happened and returns what to ask of the ring. The
	// slice is valid until the next step. The first step, with a Tick, begins.
	Step(now time.Time, ev Event) []Call
	// Deadline returns when a Tick is due at the latest.
	Deadline() time.Time
	// Examine verifies the records that a Call which reads was answered with. It
	// may be called from other goroutines than Step.
	Examine(c Call, recs []record.Record) Findings
	// Ended reports whether nothing more is to be done.
	Ended() bool
}

// sooner returns the earlier of two deadlines; zero is never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
