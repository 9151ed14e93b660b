package directory

import (
	"errors"
	"fmt"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
)

// maxAttempts is how often a record is stored at one position that fails.
const maxAttempts = 4

// Receipt says where a record lies now.
type Receipt struct {
	Positions int         `json:"positions"` // where it belongs
	Quorum    int         `json:"quorum"`    // of these that are enough: a majority
	Stored    int         `json:"stored"`
	Places    []Placement `json:"places"` // one for each position
}

// Placement is the fate of a record at one position.
type Placement struct {
	Position identity.NodeID `json:"position"`
	Holders  []Holder        `json:"holders,omitempty"`
	Error    string          `json:"error,omitempty"`
}

// Publishing stores one record at all its positions, as a step function, and
// tries again where that fails. Its result is final when all have it, or when a
// majority has and the rest takes longer than answers have been taking; the rest
// goes on until it has Ended. One goroutine owns it.
type Publishing struct {
	set     Setting
	rec     record.Record
	spots   []spot
	waiting int // spots that have not come out
	begun   bool
	end     time.Time
	late    time.Time // once there is a quorum: when the rest is not waited for any more
	receipt Receipt
	why     error // the reason to give if the whole fails
	err     error
	done    bool
	out     []Call
}

// spot is one position of a record that is being published.
type spot struct {
	tries int
	open  bool      // a store is under way
	again time.Time // when the next one is due, if none is
	over  bool
}

// NewPublishing returns the publication of a record. Its first step, with a
// Tick, begins it.
func NewPublishing(set Setting, rec record.Record) (*Publishing, error) {
	b, err := rec.Body()
	if err != nil {
		return nil, err
	}
	positions := record.PositionsOf(b, set.Trust.Charter())
	if len(positions) == 0 {
		return nil, fmt.Errorf("%w: part %d has no position", record.ErrMalformed, b.Part)
	}
	n := len(positions)
	p := &Publishing{set: set, rec: rec, spots: make([]spot, n), waiting: n}
	p.receipt = Receipt{Positions: n, Quorum: quorum(n), Places: make([]Placement, n)}
	for i, pos := range positions {
		p.receipt.Places[i] = Placement{Position: pos, Error: "no answer yet"}
	}
	return p, nil
}

// Step implements errand. A Call's ID is the index of the position.
func (p *Publishing) Step(now time.Time, ev Event) []Call {
	p.out = p.out[:0]
	if p.Ended() {
		return nil
	}
	if !p.begun {
		p.begun, p.end = true, now.Add(p.set.Timeout)
		for i := range p.spots {
			p.store(i)
		}
	}
	switch ev := ev.(type) {
	case Written:
		p.written(now, ev)
	case GiveUp:
		p.finish(ev.Err)
	default:
		p.tick(now)
	}
	if p.waiting == 0 {
		p.finish(nil)
	}
	return p.out
}

func (p *Publishing) store(i int) {
	s := &p.spots[i]
	s.tries++
	s.open, s.again = true, time.Time{}
	p.out = append(p.out, Call{ID: i, Position: p.receipt.Places[i].Position, Store: &p.rec})
}

func (p *Publishing) written(now time.Time, w Written) {
	if w.Call < 0 || w.Call >= len(p.spots) || !p.spots[w.Call].open {
		return
	}
	s := &p.spots[w.Call]
	s.open = false
	if w.Err == nil {
		p.set.Pace.observe(w.Took)
	} else if !final(w.Err) && s.tries < maxAttempts {
		d := p.set.Pace.hedge(p.set.Rand) << (s.tries - 1)
		s.again = now.Add(d*3/4 + time.Duration(p.set.Rand.Int64N(int64(d/2))))
		return
	}
	s.over = true
	p.waiting--
	if p.done {
		return
	}
	p.why = p.receipt.note(w, p.why)
	if p.receipt.Stored >= p.receipt.Quorum && p.late.IsZero() {
		p.late = now.Add(p.set.Pace.hedge(p.set.Rand))
	}
}

func (p *Publishing) tick(now time.Time) {
	if !now.Before(p.end) {
		p.waiting = 0
		return
	}
	if !p.late.IsZero() && !now.Before(p.late) {
		p.finish(nil)
	}
	for i := range p.spots {
		if s := &p.spots[i]; !s.again.IsZero() && !now.Before(s.again) {
			p.store(i)
		}
	}
}

func (p *Publishing) finish(ended error) {
	if !p.done {
		p.done, p.err = true, p.receipt.verdict(p.why, ended)
	}
}

// Deadline implements errand.
func (p *Publishing) Deadline() time.Time {
	at := p.end
	if !p.done {
		at = sooner(at, p.late)
	}
	for i := range p.spots {
		at = sooner(at, p.spots[i].again)
	}
	return at
}

// Examine implements errand: nothing is read.
func (p *Publishing) Examine(Call, []record.Record) Findings { return Findings{} }

// Result returns the receipt once done is true. The error is nil when a majority
// has the record, else it wraps ErrQuorum and a reason, where there is one
// ErrStale or ErrConflict. The receipt is right in every case.
func (p *Publishing) Result() (r Receipt, done bool, err error) { return p.receipt, p.done, p.err }

// Ended implements errand.
func (p *Publishing) Ended() bool { return p.begun && p.waiting == 0 }

// final tells whether storing the same record again is useless.
func final(err error) bool {
	for _, e := range []error{ErrStale, ErrConflict, record.ErrKeyConflict, record.ErrQuota, record.ErrMalformed, record.ErrTooLarge} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// note enters one position's fate and returns the reason to give if the whole
// fails: that of a holder that knows better before any other.
func (r *Receipt) note(x Written, why error) error {
	place := &r.Places[x.Call]
	place.Holders, place.Error = x.Holders, ""
	if x.Err == nil {
		r.Stored++
		return why
	}
	place.Error = x.Err.Error()
	if why == nil || final(x.Err) && !final(why) {
		return x.Err
	}
	return why
}

func (r *Receipt) verdict(why, ended error) error {
	if r.Stored >= r.Quorum {
		return nil
	}
	err := fmt.Errorf("%w: %d of %d, %d are needed", ErrQuorum, r.Stored, r.Positions, r.Quorum)
	for _, cause := range []error{why, ended} {
		if cause != nil {
			err = fmt.Errorf("%w: %w", err, cause)
		}
	}
	return err
}
