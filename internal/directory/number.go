package directory

import (
	"context"
	"errors"
	"fmt"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
)

// isNumber tells whether a name is one that a phone with digits only can dial.
func isNumber(name identity.AOR) bool {
	for _, c := range []byte(name.User()) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// resolveNumber follows the number's record to a name and resolves that. The
// name's account certificate must confirm the number: a record that was
// replayed after the number moved on leads nowhere. A number that nobody has
// may still be somebody's name.
func (d *Directory) resolveNumber(ctx context.Context, number identity.AOR, opt Options) (*Resolution, error) {
	if target, ok := d.aliasOf(number); ok && !opt.Fresh {
		if res, err := d.resolve(ctx, target, opt); confirms(res, number) {
			return withAlias(res, number), err
		}
	}
	d.mu.Lock()
	opt.by = d.askingLocked(number, opt, record.KindNumber)
	d.mu.Unlock()
	targets, err := d.readNumber(ctx, number, min(d.sureNumbers(), d.replicas()), opt.by)
	if errors.Is(err, ErrNoSuchName) {
		return d.resolve(ctx, number, opt)
	}
	res, found, err := d.firstConfirmed(ctx, number, targets, opt, err)
	if found || err != nil && len(targets) == 0 {
		return res, err
	}
	// Whoever answered first may have kept an old record: hear all of them.
	more, errRead := d.readNumber(ctx, number, d.replicas(), opt.by)
	if errRead != nil {
		return &Resolution{AOR: number}, errRead
	}
	res, _, err = d.firstConfirmed(ctx, number, more, opt, nil)
	return res, err
}

// firstConfirmed resolves the targets in turn, the latest record's first.
func (d *Directory) firstConfirmed(
	ctx context.Context, number identity.AOR, targets []identity.AOR, opt Options, failed error,
) (res *Resolution, found bool, err error) {
	if failed != nil {
		return &Resolution{AOR: number}, false, failed
	}
	err = fmt.Errorf("%w: no account has the number", ErrNoSuchName)
	for _, target := range targets {
		res, e := d.resolve(ctx, target, opt)
		if confirms(res, number) {
			d.mu.Lock()
			d.aliases.put(number, target)
			d.mu.Unlock()
			return withAlias(res, number), true, e
		}
		if e != nil && !errors.Is(e, ErrNoSuchName) {
			err = e // could not be told: not the same as refuted
			continue
		}
		d.cfg.Refused(ReasonUnconfirmedNumber)
	}
	return &Resolution{AOR: number}, false, err
}

func confirms(res *Resolution, number identity.AOR) bool {
	return res != nil && res.Account != nil && res.Account.Number == number
}

func withAlias(res *Resolution, number identity.AOR) *Resolution {
	out := *res
	out.Alias = number
	return &out
}

func (d *Directory) aliasOf(number identity.AOR) (identity.AOR, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.aliases.get(number)
}

func (d *Directory) replicas() int { return int(d.Trust().Charter().RegistrationReplicas) }

// readNumber returns the names that the number's records give, the highest
// sequence first. It asks want positions, 1 to 4, and waits for as many
// answers, or somewhat fewer where one is late. The error is ErrNoSuchName only
// if absence is proved, or the number was given back.
func (d *Directory) readNumber(ctx context.Context, number identity.AOR, want int, by Fetcher) ([]identity.AOR, error) {
	r := newReading(d.looking(), Wanted{AOR: number, Kind: record.KindNumber}, want, func(r *Reading, late bool) bool {
		return r.found >= want || late && r.found >= max(want*3/4, 1) || r.provesAbsence()
	})
	if err := d.runBy(ctx, r, by); err != nil {
		return nil, err
	}
	var out []identity.AOR
	for _, v := range r.newest { // by sequence, highest first
		if v.Number == nil {
			continue // the number was given back
		}
		if aor, err := identity.ParseAOR(v.Number.AOR); err == nil {
			out = append(out, aor)
		}
	}
	switch {
	case len(out) > 0:
		return out, nil
	case r.found > 0 || r.provesAbsence():
		return nil, fmt.Errorf("%w: nobody has the number", ErrNoSuchName)
	}
	return nil, r.failure()
}
