package adapter

import (
	"context"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/node"
	"github.com/secp2psip/secp2psip/internal/record"
)

// What an adapter does by itself: it publishes restored phones when it has
// joined the ring, refreshes registrations, puts back records that the ring
// has lost, and renews certificates.

// keepEvery is how often the adapter looks what is due.
const keepEvery = 10 * time.Second

// keepPublished tends all accounts until ctx ends.
func (a *Adapter) keepPublished(ctx context.Context) error {
	select {
	case <-a.nodeUp:
	case <-ctx.Done():
		return nil
	}
	n := a.Node()
	n.Own(a.ownRecords)
	select {
	case <-n.Joined():
	case <-ctx.Done():
		return nil
	}
	if a.time.Correction() != 0 {
		a.restore()
	}
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
		for _, acct := range a.allAccounts() {
			a.tend(ctx, n, acct)
		}
		select {
		case <-tick.C:
		case <-n.Moved(): // callers must learn soon where it is now
		case <-a.owed: // what rests on the certificates before may not count for long
		case <-a.leaving:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// ownRecords are what the accounts have on the ring.
func (a *Adapter) ownRecords() (out []record.Record) {
	for _, acct := range a.allAccounts() {
		a.mu.Lock()
		out = append(out, acct.records()...)
		if p := a.publication(acct.User); p.last != nil && p.live {
			out = append(out, *p.last)
		}
		a.mu.Unlock()
	}
	return out
}

// tend does what is due for one account.
func (a *Adapter) tend(ctx context.Context, n *node.Node, acct *account) {
	ctx, cancel := context.WithTimeout(ctx, keepEvery)
	defer cancel()
	aor, err := identity.NewAOR(acct.User, n.Trust().Overlay())
	if err != nil || a.isLeaving() {
		return
	}
	if len(a.bridge.Bindings(aor)) > 0 {
		_ = a.publish(ctx, n, acct) // logged and noted there
	}
	a.resumeRotation(n, acct)
	a.repairIfDue(n, acct)
	a.renewIfDue(ctx, n, acct, aor)
}

// repairTime bounds one round of repair.
const repairTime = 30 * time.Second

// repairIfDue puts the account's shares, look-up records and registration back
// where the ring has lost them, so that the bootstrap server is not needed for
// that.
func (a *Adapter) repairIfDue(n *node.Node, acct *account) {
	st := n.Ring().Status()
	members := st.Members
	if st.Thin {
		members = -1
	}
	a.mu.Lock()
	p := a.publication(acct.User)
	due := p.repair.Due(time.Now(), members)
	if due {
		p.repair.Begin(time.Now(), members)
	}
	records := acct.records()
	if p.last != nil {
		records = append(records, *p.last)
	}
	a.mu.Unlock()
	if !due {
		return
	}
	a.spawn(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, repairTime)
		defer cancel()
		r := n.Directory().Repair(ctx, records)
		if r.Missing > 0 {
			a.log.Debug().Int("missing", r.Missing).Int("stored", r.Stored).Int("silent", r.Silent).Msg("put back what the ring had lost")
		}
		a.mu.Lock()
		if ctx.Err() == nil { // else it counts as failed
			p.repair.Done(time.Now(), r)
		}
		a.mu.Unlock()
	})
}
