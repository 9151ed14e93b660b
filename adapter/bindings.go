package adapter

import (
	"context"
	"slices"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/sipbridge"
)

// The phones' bindings outlive a restart in the state file. The bridge counts
// their lifetimes by the steady time of this process, the file by the
// overlay's: a clock that is corrected meanwhile ends no binding.

// ticket numbers a change of an account's bindings, so that of two changes
// under way the later one is kept.
func (a *Adapter) ticket(aor identity.AOR) uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tickets[aor.User()]++
	return a.tickets[aor.User()]
}

// refreshed keeps bindings that were extended.
func (a *Adapter) refreshed(r sipbridge.Registration) {
	ticket := a.ticket(r.AOR)
	a.spawn(func(context.Context) { a.saveBindings(r, ticket) })
}

// saveBindings keeps the phones for a restart.
func (a *Adapter) saveBindings(r sipbridge.Registration, ticket uint64) {
	user := r.AOR.User()
	a.saving.Lock()
	defer a.saving.Unlock()
	if a.saved[user] > ticket {
		return
	}
	a.saved[user] = ticket
	e := entry{bucketBindings, []byte(user), nil}
	if len(r.Bindings) > 0 {
		e.value = shiftExpiry(r.Bindings, a.time.Correction())
	}
	if err := a.state.put(e); err != nil {
		a.log.Error().Err(err).Msg("the phones' registrations cannot be saved: after a restart they must register anew")
	}
}

func shiftExpiry(bindings []sipbridge.Binding, by time.Duration) []sipbridge.Binding {
	out := slices.Clone(bindings)
	for i := range out {
		out[i].Expires = out[i].Expires.Add(by)
	}
	return out
}

// restoreBindings gives the bridge the phones that were registered when the
// adapter stopped and whose time has not run out.
func (a *Adapter) restoreBindings() error {
	all, err := a.state.bindings()
	if err != nil {
		return err
	}
	a.restored = all
	a.restore()
	return nil
}

// restore hands what restoreBindings has read to the bridge, which leaves out
// what has expired. When the time is corrected soon after the start, what was
// wrongly taken for expired gets another chance; an account whose phones have
// registered anew keeps those.
func (a *Adapter) restore() {
	for user, bindings := range a.restored {
		aor, err := identity.NewAOR(user, a.membership().Overlay)
		if err == nil && a.account(aor) != nil {
			a.bridge.Restore(aor, shiftExpiry(bindings, -a.time.Correction()))
		}
	}
}
