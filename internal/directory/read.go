package directory

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
)

// maxNewest bounds the different records that one reading keeps.
const maxNewest = 8

// reading is what the positions of one kind of record say.
type reading struct {
	asked                 int // positions there are
	found, absent, failed int
	newest                []*record.Verified // different sequences, the highest first
	none                  map[identity.NodeID]bool
}

// provesAbsence is flight.absent for one kind of record: three of four
// replicas, and three nodes where the ring has them; or all replicas.
func (r *reading) provesAbsence(members int) bool {
	return r.absent >= enough(r.asked) && (len(r.none) >= min(3, members) || r.absent == r.asked)
}

// failure is the error of a reading that ended without enough answers.
func (r *reading) failure(ctx context.Context) error {
	if r.found+r.absent == 0 && ctx.Err() == nil && r.failed == r.asked {
		return ErrRingDown
	}
	return fmt.Errorf("%w: %d of %d positions answered", ErrTimeout, r.found+r.absent, r.asked)
}

type readAnswer struct {
	records     []*record.Verified
	holder      identity.NodeID
	empty       bool
	responsible bool
	err         error
}

// read asks the positions of (aor, kind, part): first of them at once, another
// for each answer that does not help or is late. It ends when enough says so,
// when all have come out, or when ctx or the timeout ends.
func (d *Directory) read(
	ctx context.Context, aor identity.AOR, kind record.Kind, part *uint64, first int, enough func(r *reading, late bool) bool,
) *reading {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Timeout)
	defer cancel()
	positions := d.positions(aor, kind, part)
	resource := record.Resource(aor, kind)
	r := &reading{asked: len(positions), none: make(map[identity.NodeID]bool)}
	answers := make(chan readAnswer, len(positions))
	next, open := 0, 0
	launch := func() {
		if next == len(positions) {
			return
		}
		pos := positions[next]
		next++
		if d.spawn(func() { answers <- d.readOne(ctx, pos, resource, part, aor, kind) }) == nil {
			open++
		}
	}
	for range min(first, len(positions)) {
		launch()
	}
	hedge := time.NewTimer(d.pace.hedge())
	defer hedge.Stop()
	for open > 0 && !enough(r, false) {
		select {
		case a := <-answers:
			open--
			r.take(a)
			if len(a.records) == 0 {
				launch()
			}
		case <-hedge.C:
			if enough(r, true) {
				return r
			}
			launch()
			hedge.Reset(d.pace.hedge())
		case <-ctx.Done():
			return r
		}
	}
	return r
}

func (d *Directory) readOne(
	ctx context.Context, pos, resource identity.NodeID, part *uint64, aor identity.AOR, kind record.Kind,
) readAnswer {
	start := time.Now()
	ans, err := d.cfg.Ring.Fetch(ctx, pos, resource, part)
	if err != nil {
		return readAnswer{err: err}
	}
	d.pace.observe(time.Since(start))
	out := readAnswer{holder: ans.Holder.Node, empty: len(ans.Records) == 0, responsible: ans.Responsible}
	for _, rec := range ans.Records[:min(len(ans.Records), maxNewest)] {
		v, err := record.Verify(rec, d.Trust(), d.cfg.Now())
		switch {
		case err != nil:
			d.cfg.Refused(reasonOf(err))
		case v.AOR != aor || v.Body.Kind != kind || part != nil && v.Body.Part != *part:
			d.cfg.Refused(ReasonOtherName)
		default:
			out.records = append(out.records, v)
		}
	}
	return out
}

func (r *reading) take(a readAnswer) {
	switch {
	case a.err != nil:
		r.failed++
	case len(a.records) > 0:
		r.found++
	case a.empty && a.responsible:
		r.absent++
		r.none[a.holder] = true
	default:
		r.failed++
	}
	for _, v := range a.records {
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

// positions returns where records of (aor, kind, part) lie, in random order.
func (d *Directory) positions(aor identity.AOR, kind record.Kind, part *uint64) []identity.NodeID {
	c := d.Trust().Charter()
	m := record.Replicas(kind, c)
	resource := record.Resource(aor, kind)
	if kind == record.KindShare && part != nil {
		if *part < 1 || *part > uint64(m) {
			return nil
		}
		return []identity.NodeID{record.Position(resource, int(*part-1), m)}
	}
	out := make([]identity.NodeID, 0, m)
	for _, i := range shuffled(m) {
		out = append(out, record.Position(resource, i, m))
	}
	return out
}

// Latest returns the highest sequence of (aor, kind, part) that a majority of
// its positions holds, 0 if they hold none: what a device must exceed with its
// first write. It returns ErrTimeout or ErrRingDown if fewer answered.
func (d *Directory) Latest(ctx context.Context, aor identity.AOR, kind record.Kind, part uint64) (uint64, error) {
	n := len(d.positions(aor, kind, &part))
	if n == 0 {
		return 0, fmt.Errorf("%w: share %d", record.ErrMalformed, part)
	}
	r := d.read(ctx, aor, kind, &part, n, func(r *reading, _ bool) bool { return r.found+r.absent >= quorum(n) })
	if r.found+r.absent < quorum(n) {
		return 0, r.failure(ctx)
	}
	if len(r.newest) == 0 {
		return 0, nil
	}
	return r.newest[0].Body.Seq, nil
}

// quorum is a majority of n.
func quorum(n int) int { return n/2 + 1 }
