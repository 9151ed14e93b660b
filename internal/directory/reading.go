package directory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
)

// maxNewest bounds the different records that one reading keeps.
const maxNewest = 8

// Wanted is what a reading asks for.
type Wanted struct {
	AOR  identity.AOR
	Kind record.Kind
	Part *uint64 // nil: all parts
}

// Reading asks the positions of one kind of record for the newest one, as a step
// function: some at once, another for each answer that does not help or is late.
// It ends when enough have answered, when all have come out, or at the timeout.
// One goroutine owns it; Examine alone may be called from others.
type Reading struct {
	set    Setting
	want   Wanted
	first  int                              // positions asked at once
	enough func(r *Reading, late bool) bool // late: an answer takes longer than answers do

	positions []identity.NodeID // in the order of asking
	asked     []bool            // by position: no answer yet
	next      int
	open      int
	end, late time.Time
	over      bool
	out       []Call

	noWay                 bool // a question could not be asked without saying who asks
	found, absent, failed int
	newest                []*record.Verified // different sequences, the highest first
	none                  map[identity.NodeID]bool
}

// NewLatest returns a reading of the highest sequence that a majority of the
// positions holds; Latest has the result. Its first step, with a Tick, begins
// it.
func NewLatest(set Setting, want Wanted) *Reading {
	r := newReading(set, want, 0, nil)
	r.first = len(r.positions)
	r.enough = func(r *Reading, _ bool) bool { return r.found+r.absent >= quorum(len(r.positions)) }
	return r
}

func newReading(set Setting, want Wanted, first int, enough func(*Reading, bool) bool) *Reading {
	r := &Reading{set: set, want: want, first: first, enough: enough, none: make(map[identity.NodeID]bool)}
	r.positions = positions(set, want)
	r.asked = make([]bool, len(r.positions))
	return r
}

// positions returns where the records wanted lie, in random order.
func positions(set Setting, want Wanted) []identity.NodeID {
	m := record.Replicas(want.Kind, set.Trust.Charter())
	resource := record.Resource(want.AOR, want.Kind)
	if want.Kind == record.KindShare && want.Part != nil {
		if *want.Part < 1 || *want.Part > uint64(m) {
			return nil
		}
		return []identity.NodeID{record.Position(resource, int(*want.Part-1), m)}
	}
	out := make([]identity.NodeID, 0, m)
	for _, i := range set.Rand.Perm(m) {
		out = append(out, record.Position(resource, i, m))
	}
	return out
}

// Step implements errand.
func (r *Reading) Step(now time.Time, ev Event) []Call {
	r.out = r.out[:0]
	if r.over {
		return nil
	}
	if r.end.IsZero() {
		r.end, r.late = now.Add(r.set.Timeout), now.Add(r.set.Pace.hedge(r.set.Rand))
		for range r.first {
			r.launch()
		}
	}
	switch ev := ev.(type) {
	case Read:
		r.answer(ev)
	case GiveUp:
		r.over = true
	default:
		r.tick(now)
	}
	if r.over = r.over || r.open == 0 || r.enough(r, false); r.over {
		return nil
	}
	return r.out
}

func (r *Reading) launch() {
	if r.next == len(r.positions) {
		return
	}
	r.out = append(r.out, Call{
		ID: r.next, Position: r.positions[r.next], Kind: r.want.Kind,
		Resource: record.Resource(r.want.AOR, r.want.Kind), Part: r.want.Part,
	})
	r.asked[r.next] = true
	r.next++
	r.open++
}

func (r *Reading) tick(now time.Time) {
	if !now.Before(r.end) {
		r.over = true
		return
	}
	if !now.Before(r.late) {
		r.over = r.enough(r, true)
		r.launch()
		r.late = now.Add(r.set.Pace.hedge(r.set.Rand))
	}
}

func (r *Reading) answer(a Read) {
	if a.Call < 0 || a.Call >= len(r.asked) || !r.asked[a.Call] {
		return
	}
	r.asked[a.Call] = false
	r.open--
	r.take(a)
	if len(a.Found.newest) == 0 {
		r.launch()
	}
}

// Deadline implements errand.
func (r *Reading) Deadline() time.Time { return sooner(r.late, r.end) }

// Ended implements errand.
func (r *Reading) Ended() bool { return r.over }

// Examine implements errand.
func (r *Reading) Examine(_ Call, recs []record.Record) Findings {
	out := Findings{empty: len(recs) == 0}
	for _, rec := range recs[:min(len(recs), maxNewest)] {
		v, err := record.Verify(rec, r.set.Trust, r.set.Now())
		switch {
		case err != nil:
			r.set.Refused(reasonOf(err))
		case v.AOR != r.want.AOR || v.Body.Kind != r.want.Kind || r.want.Part != nil && v.Body.Part != *r.want.Part:
			r.set.Refused(ReasonOtherName)
		default:
			out.newest = append(out.newest, v)
		}
	}
	return out
}

func (r *Reading) take(a Read) {
	switch {
	case a.Err != nil:
		r.failed++
		r.noWay = r.noWay || errors.Is(a.Err, ErrHidden)
		return
	case len(a.Found.newest) > 0:
		r.found++
	case a.Found.empty && a.Responsible:
		r.absent++
		r.none[a.Holder.Node] = true
	default:
		r.failed++
	}
	r.set.Pace.observe(a.Took)
	for _, v := range a.Found.newest {
		i, there := slices.BinarySearchFunc(r.newest, v.Body.Seq, func(o *record.Verified, seq uint64) int {
			switch {
			case o.Body.Seq > seq:
				return -1
			case o.Body.Seq < seq:
				return 1
			}
			return 0
		})
		if !there {
			r.newest = slices.Insert(r.newest, i, v)
			r.newest = r.newest[:min(len(r.newest), maxNewest)]
		}
	}
}

// Latest returns the highest sequence that a majority of the positions holds, 0
// if they hold none. The error is ErrTimeout or ErrRingDown if fewer answered.
func (r *Reading) Latest() (uint64, error) {
	switch {
	case r.found+r.absent < quorum(len(r.positions)):
		return 0, r.failure()
	case len(r.newest) == 0:
		return 0, nil
	}
	return r.newest[0].Body.Seq, nil
}

// provesAbsence is Resolving.absent for one kind of record: three of four
// replicas, and three nodes where the ring has them; or all replicas.
func (r *Reading) provesAbsence() bool {
	return r.absent >= enough(len(r.positions)) && (len(r.none) >= min(3, r.set.Members()) || r.absent == len(r.positions))
}

// failure is the error of a reading that ended without enough answers.
func (r *Reading) failure() error {
	if r.noWay {
		return ErrHidden
	}
	if r.found+r.absent == 0 && r.failed == len(r.positions) {
		return ErrRingDown
	}
	return fmt.Errorf("%w: %d of %d positions answered", ErrTimeout, r.found+r.absent, len(r.positions))
}

// run runs an errand, and returns when it has ended or the Directory has.
func (d *Directory) run(ctx context.Context, e errand) error { return d.runBy(ctx, e, d.cfg.Ring) }

// runBy is run with what reads.
func (d *Directory) runBy(ctx context.Context, e errand, by Fetcher) error {
	done := make(chan struct{})
	err := d.spawn(func() {
		defer close(done)
		d.drive(ctx, e, by, nil)
	})
	if err == nil {
		<-done
	}
	return err
}

// Latest returns the highest sequence of (aor, kind, part) that a majority of
// its positions holds, 0 if they hold none: what a device must exceed with its
// first write. It returns ErrTimeout or ErrRingDown if fewer answered.
func (d *Directory) Latest(ctx context.Context, aor identity.AOR, kind record.Kind, part uint64) (uint64, error) {
	r := NewLatest(d.setting(), Wanted{AOR: aor, Kind: kind, Part: &part})
	if len(r.positions) == 0 {
		return 0, fmt.Errorf("%w: share %d", record.ErrMalformed, part)
	}
	if err := d.run(ctx, r); err != nil {
		return 0, err
	}
	return r.Latest()
}

// quorum is a majority of n.
func quorum(n int) int { return n/2 + 1 }
