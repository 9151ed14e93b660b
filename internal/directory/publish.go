package directory

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
)

// Bounds of publishing.
const (
	maxAttempts = 4  // at one position
	maxParallel = 16 // records of one PublishAll or Repair under way
)

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

// Publish stores a record at all its positions in parallel and retries where
// that fails. It returns when all have it, or when a majority has and the rest
// takes longer than answers have been taking; the rest goes on without the
// caller. The error is nil when a majority has the record, else it wraps
// ErrQuorum and a reason, where there is one ErrStale or ErrConflict. The
// receipt is right in every case.
func (d *Directory) Publish(ctx context.Context, rec record.Record) (Receipt, error) {
	b, err := rec.Body()
	if err != nil {
		return Receipt{}, err
	}
	positions := record.PositionsOf(b, d.Trust().Charter())
	if len(positions) == 0 {
		return Receipt{}, fmt.Errorf("%w: part %d has no position", record.ErrMalformed, b.Part)
	}
	if aor, err := identity.ParseAOR(b.AOR); err == nil {
		defer d.Invalidate(aor)
	}
	p := &publication{d: d, rec: rec, done: make(chan placed, len(positions))}
	for i, pos := range positions {
		if err := d.spawn(func() { p.place(i, pos) }); err != nil {
			return Receipt{}, err
		}
	}
	return p.wait(ctx, positions)
}

// publication is one Publish under way.
type publication struct {
	d    *Directory
	rec  record.Record
	done chan placed // has room for all positions
}

type placed struct {
	index   int
	holders []Holder
	err     error
}

// place stores the record at one position, within the timeout.
func (p *publication) place(i int, pos identity.NodeID) {
	ctx, cancel := context.WithTimeout(p.d.ctx, p.d.cfg.Timeout)
	defer cancel()
	var out placed
	for attempt := range maxAttempts {
		start := time.Now()
		holders, err := p.d.cfg.Ring.Store(ctx, pos, p.rec)
		out = placed{i, holders, err}
		if err == nil {
			p.d.pace.observe(time.Since(start))
			break
		}
		if final(err) || !pause(ctx, p.d.pace.hedge()<<attempt) {
			break
		}
	}
	p.done <- out
}

// final tells whether storing the same record again is useless.
func final(err error) bool {
	for _, e := range []error{ErrStale, ErrConflict, record.ErrKeyConflict, record.ErrQuota, record.ErrMalformed, record.ErrTooLarge} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// pause waits for d, give or take a quarter; false if ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d*3/4 + rand.N(d/2))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (p *publication) wait(ctx context.Context, positions []identity.NodeID) (Receipt, error) {
	r := Receipt{Positions: len(positions), Quorum: quorum(len(positions)), Places: make([]Placement, len(positions))}
	for i, pos := range positions {
		r.Places[i] = Placement{Position: pos, Error: "no answer yet"}
	}
	limit := time.NewTimer(p.d.cfg.Timeout)
	defer limit.Stop()
	var late <-chan time.Time // set once there is a quorum
	var why error
	for range positions {
		select {
		case x := <-p.done:
			why = r.note(x, why)
		case <-late:
			return r, nil
		case <-limit.C:
			return r, r.verdict(why, nil)
		case <-ctx.Done():
			return r, r.verdict(why, ctx.Err())
		}
		if r.Stored >= r.Quorum && late == nil {
			t := time.NewTimer(p.d.pace.hedge())
			defer t.Stop()
			late = t.C
		}
	}
	return r, r.verdict(why, nil)
}

// note enters one position's fate and returns the reason to give if the whole
// fails: that of a holder that knows better before any other.
func (r *Receipt) note(x placed, why error) error {
	place := &r.Places[x.index]
	place.Holders, place.Error = x.holders, ""
	if x.err == nil {
		r.Stored++
		return why
	}
	place.Error = x.err.Error()
	if why == nil || final(x.err) && !final(why) {
		return x.err
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

// PublishAll publishes several records in parallel: all shares of a dealing,
// for one. Receipts are in the order of recs; the error joins those of Publish.
func (d *Directory) PublishAll(ctx context.Context, recs []record.Record) ([]Receipt, error) {
	receipts := make([]Receipt, len(recs))
	errs := make([]error, len(recs))
	each(len(recs), func(i int) { receipts[i], errs[i] = d.Publish(ctx, recs[i]) })
	return receipts, errors.Join(errs...)
}

// each calls f(0) … f(n−1), maxParallel at once, and returns when all have.
func each(n int, f func(i int)) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, maxParallel)
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			f(i)
		})
	}
	wg.Wait()
}
