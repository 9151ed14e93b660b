package directory

import (
	"context"
	"errors"
	"sync"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
)

// maxParallel is how many records of one PublishAll, or positions of one
// repair, are under way.
const maxParallel = 16

// Publish stores a record at all its positions in parallel and retries where
// that fails. It returns when all have it, or when a majority has and the rest
// takes longer than answers have been taking; the rest goes on without the
// caller. The error is nil when a majority has the record, else it wraps
// ErrQuorum and a reason, where there is one ErrStale or ErrConflict. The
// receipt is right in every case.
func (d *Directory) Publish(ctx context.Context, rec record.Record) (Receipt, error) {
	p, err := NewPublishing(d.setting(), rec)
	if err != nil {
		return Receipt{}, err
	}
	if b, err := rec.Body(); err == nil {
		if aor, err := identity.ParseAOR(b.AOR); err == nil {
			defer d.Invalidate(aor)
		}
	}
	done := make(chan struct{})
	var r Receipt
	var told bool
	spawned := d.spawn(func() {
		d.drive(ctx, p, d.cfg.Ring, func() {
			if !told {
				if r, told, err = p.Result(); told {
					close(done)
				}
			}
		})
	})
	if spawned != nil {
		return Receipt{}, spawned
	}
	<-done
	return r, err
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
