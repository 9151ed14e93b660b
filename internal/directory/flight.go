package directory

import (
	"context"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/keyshare"
)

// flight is one resolution under way, for all who wait for it.
type flight struct {
	d     *Directory
	aor   identity.AOR
	noPin bool // do not pin at first use
	want  identity.KeyTag
	by    Fetcher

	within time.Duration // in which it begins to ask; 0 = at once

	done chan struct{}

	r        *Resolving
	conflict *keyshare.Conflict // that the alarm was raised for
	landed   bool
	res      *Resolution // once done is closed
	err      error
}

// run resolves, answers those who wait, and listens on.
func (f *flight) run() {
	if f.within > 0 {
		begin := time.NewTimer(time.Duration(systemRand().Int64N(int64(f.within))))
		defer begin.Stop()
		select {
		case <-begin.C:
		case <-f.d.ctx.Done():
		}
	}
	known := Known{NoPin: f.noPin, Want: f.want, floor: f.d.floorOf(f.aor)}
	if pin, ok := f.d.pinOf(f.aor); ok {
		known.Pin = &pin
	}
	f.r = NewResolving(f.d.looking(), f.aor, known)
	ctx, stop := context.WithCancel(context.Background()) // drive minds the Directory's end
	defer stop()
	f.d.drive(ctx, f.r, f.by, func() { f.look(stop) })
	f.d.ended(f)
}

// look takes up what a step has brought.
func (f *flight) look(stop context.CancelFunc) {
	if !f.landed {
		if f.res, f.landed, f.err = f.r.Result(); !f.landed {
			return
		}
		f.conflict = f.r.Conflict()
		f.d.landed(f)
		close(f.done)
		if f.d.overfull() {
			stop()
		}
		return
	}
	if c := f.r.Conflict(); c != nil && f.conflict == nil {
		f.conflict = c
		f.d.alarm(f)
	}
	if f.r.Outdated() {
		f.d.Invalidate(f.aor)
	}
}
