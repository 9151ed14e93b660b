package directory

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
)

// Repairs counts what Repair found.
type Repairs struct {
	Checked int `json:"checked"` // positions that answered
	Missing int `json:"missing"` // of these without the record
	Stored  int `json:"stored"`  // of the missing, put back
	Silent  int `json:"silent"`  // positions without an answer
}

// Repairing looks whether each record still lies where it belongs, as a step
// function, and puts back what is missing or was replaced by something older. It
// ends when it has been everywhere. One goroutine owns it; Examine alone may be
// called from others.
type Repairing struct {
	set    Setting
	places []repairPlace
	next   int // places[next:] have not been looked at
	oldest int // places[:oldest] are over
	open   int
	count  Repairs
	over   bool
	out    []Call
}

type repairPlace struct {
	rec   record.Record
	body  record.Body
	aor   identity.AOR
	pos   identity.NodeID
	state repairState
	end   time.Time
}

type repairState uint8

const (
	repairAsks   repairState = iota + 1 // the holder is asked what it has
	repairStores                        // it has not got the record
	repairOver
)

// NewRepairing returns the repair of records. Its first step, with a Tick,
// begins it.
func NewRepairing(set Setting, recs []record.Record) *Repairing {
	r := &Repairing{set: set}
	for _, rec := range recs {
		b, err := rec.Body()
		if err != nil {
			continue
		}
		aor, err := identity.ParseAOR(b.AOR)
		if err != nil {
			continue
		}
		for _, pos := range record.PositionsOf(b, set.Trust.Charter()) {
			r.places = append(r.places, repairPlace{rec: rec, body: b, aor: aor, pos: pos})
		}
	}
	return r
}

// pass leaves out places of which it is known how they are.
func (r *Repairing) pass(known func(*repairPlace) bool) {
	r.places = slices.DeleteFunc(r.places, func(p repairPlace) bool { return known(&p) })
}

// Step implements errand. A Call's ID is the index of the place.
func (r *Repairing) Step(now time.Time, ev Event) []Call {
	r.out = r.out[:0]
	if r.over {
		return nil
	}
	switch ev := ev.(type) {
	case Read:
		r.read(ev)
	case Written:
		if p := r.at(ev.Call, repairStores); p != nil {
			if ev.Err == nil {
				r.count.Stored++
			}
			r.close(p)
		}
	case GiveUp:
		r.over = true
		return nil
	default:
		r.expire(now)
	}
	for ; r.open < maxParallel && r.next < len(r.places); r.next++ {
		p := &r.places[r.next]
		p.state, p.end = repairAsks, now.Add(r.set.Timeout)
		r.open++
		r.out = append(r.out, Call{
			ID: r.next, Position: p.pos, Kind: p.body.Kind, Resource: record.Resource(p.aor, p.body.Kind), Part: &p.body.Part,
		})
	}
	r.over = r.open == 0
	return r.out
}

// at returns a place that is in a state, or nil.
func (r *Repairing) at(i int, s repairState) *repairPlace {
	if i < 0 || i >= len(r.places) || r.places[i].state != s {
		return nil
	}
	return &r.places[i]
}

func (r *Repairing) close(p *repairPlace) {
	p.state = repairOver
	r.open--
}

func (r *Repairing) read(in Read) {
	p := r.at(in.Call, repairAsks)
	switch {
	case p == nil:
	case in.Err != nil:
		r.count.Silent++
		r.close(p)
	case in.Found.has:
		r.count.Checked++
		r.close(p)
	default:
		r.count.Checked++
		r.count.Missing++
		p.state = repairStores
		r.out = append(r.out, Call{ID: in.Call, Position: p.pos, Store: &p.rec})
	}
}

// expire gives up places that take too long.
func (r *Repairing) expire(now time.Time) {
	for i := r.oldest; i < r.next; i++ {
		if p := &r.places[i]; p.state != repairOver && !now.Before(p.end) {
			if p.state == repairAsks {
				r.count.Silent++
			}
			r.close(p)
		}
	}
}

// Deadline implements errand.
func (r *Repairing) Deadline() time.Time {
	for r.oldest < r.next && r.places[r.oldest].state == repairOver {
		r.oldest++
	}
	if r.oldest == r.next {
		return time.Time{}
	}
	return r.places[r.oldest].end // they all have the same time
}

// Examine implements errand.
func (r *Repairing) Examine(c Call, recs []record.Record) Findings {
	p := &r.places[c.ID]
	for _, have := range recs[:min(len(recs), maxNewest)] {
		if bytes.Equal(have.Signed, p.rec.Signed) {
			return Findings{has: true}
		}
		v, err := record.Verify(have, r.set.Trust, r.set.Now())
		if err == nil && v.AOR == p.aor && v.Body.Kind == p.body.Kind && v.Body.Part == p.body.Part && v.Body.Seq >= p.body.Seq {
			return Findings{has: true}
		}
	}
	return Findings{}
}

// Result returns what has been found so far.
func (r *Repairing) Result() Repairs { return r.count }

// Ended implements errand.
func (r *Repairing) Ended() bool { return r.over }

// Repair looks whether each record still lies where it belongs, and puts back
// what is missing or was replaced by something older. Owners call it now and
// then with all their records, shares included: so nothing is lost that an
// owner still has, whoever else is down. It returns when it has been
// everywhere, or ctx ends.
func (d *Directory) Repair(ctx context.Context, recs []record.Record) Repairs {
	r := NewRepairing(d.setting(), recs)
	r.pass(func(p *repairPlace) bool { return d.cfg.Confirmed(p.pos, p.body.Part, repairEvery) })
	if d.run(ctx, r) != nil {
		return Repairs{}
	}
	return r.Result()
}
