package directory

import (
	"context"
	"errors"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
)

// Above is a record of which only its writer knows the next sequence number, and
// not always: a restored backup, a lost disk or a clock that was set back make it
// sign one that was used already.
type Above struct {
	AOR  identity.AOR
	Kind record.Kind
	Part uint64
	// Known tells that the writer knows which number it used last; else the ring
	// is read first.
	Known bool
	// Sign makes the record with a number above floor.
	Sign func(floor uint64) (record.Record, error)
	// Try calls f again while it fails for the moment only; nil = once.
	Try func(ctx context.Context, f func(context.Context) error) error
}

// PublishAbove signs a record and publishes it. Where holders have a higher number,
// or another record with this one, it reads what a majority holds and publishes
// once more, above that: so writers that contradict themselves put it right. It
// returns the record as it was signed last, nil if none was. Errors: Publish's,
// Latest's, Sign's; ErrStale or ErrConflict when it has not come out above the
// ring's, and may be tried again later.
func (d *Directory) PublishAbove(ctx context.Context, a Above) (*record.Record, error) {
	if a.Try == nil {
		a.Try = func(ctx context.Context, f func(context.Context) error) error { return f(ctx) }
	}
	floor := uint64(0)
	latest := func(ctx context.Context) (err error) {
		floor, err = d.Latest(ctx, a.AOR, a.Kind, a.Part)
		return err
	}
	if !a.Known {
		if err := a.Try(ctx, latest); err != nil {
			return nil, err
		}
	}
	var last *record.Record
	for again := false; ; again = true {
		rec, err := a.Sign(floor)
		if err != nil {
			return last, err
		}
		last = &rec
		err = a.Try(ctx, func(ctx context.Context) error {
			_, err := d.Publish(ctx, rec)
			return err
		})
		if again || !outrun(err) {
			return last, err
		}
		if err := a.Try(ctx, latest); err != nil {
			return last, err
		}
	}
}

// outrun tells whether a higher number would do.
func outrun(err error) bool { return errors.Is(err, ErrStale) || errors.Is(err, ErrConflict) }
