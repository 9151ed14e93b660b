package adapter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/secp2psip/secp2psip/internal/canon"
	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/node"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/sipbridge"
)

// publication is what the ring was last told of an account.
type publication struct {
	turn    sync.Mutex // held while publishing, so that sequence numbers arrive in order; the rest is the adapter's mutex's
	live    bool       // a registration lies there, no tombstone
	at      time.Time  // overlay time
	problem string     // why it does not, for status
	shares  time.Time  // when the shares were last stored
}

// Features of this adapter, named in its registrations.
var features = []string{"carried", "text"}

// publish puts the registration on the ring: on a phone's REGISTER and, as
// refresh, before it ends. Nothing happens while an unchanged registration is
// younger than the charter's refresh time, unless force is set.
func (a *Adapter) publish(ctx context.Context, n *node.Node, acct *account, force bool) error {
	charter := n.Trust().Charter()
	p := a.takeTurn(acct.User)
	defer p.turn.Unlock()
	a.mu.Lock()
	fresh := p.live && a.clock.Now().Sub(p.at) < time.Duration(charter.RegistrationRefresh)*time.Second
	a.mu.Unlock()
	if fresh && !force {
		return nil
	}
	data, err := canon.Marshal(record.Registration{
		Node: n.Self().ID, Addrs: n.Self().Addrs, Device: acct.DeviceKey.Public(), Features: features,
	})
	if err != nil {
		return err
	}
	err = a.store(ctx, n, acct, record.Body{Lifetime: charter.RegistrationLifetime, Data: data})
	a.notePublished(acct, err == nil, err)
	if err != nil {
		a.log.Warn().Err(err).Msg("a registration could not be stored on the ring")
		return sipbridge.OverlayDown("the registration could not be stored on the ring", 5*time.Second)
	}
	a.storeShares(ctx, n, acct)
	return nil
}

// unpublish replaces the registration by a tombstone.
func (a *Adapter) unpublish(ctx context.Context, n *node.Node, acct *account) error {
	p := a.takeTurn(acct.User)
	defer p.turn.Unlock()
	a.mu.Lock()
	live := p.live
	a.mu.Unlock()
	if !live {
		return nil
	}
	err := a.store(ctx, n, acct, record.Body{Lifetime: n.Trust().Charter().RegistrationLifetime, Tombstone: true})
	a.notePublished(acct, false, err)
	if err != nil {
		return sipbridge.OverlayDown("the registration could not be taken back", 5*time.Second)
	}
	return nil
}

func (a *Adapter) unpublishAll(ctx context.Context) {
	n := a.Node()
	for _, acct := range a.allAccounts() {
		if err := a.unpublish(ctx, n, acct); err != nil {
			a.log.Warn().Err(err).Msg("a registration could not be taken back; it ends by itself")
		}
	}
}

// A ring that is just changing refuses for a moment; a phone waits longer.
const (
	patience   = 6 * time.Second
	patientFor = 200 * time.Millisecond // between attempts
)

// patiently repeats what failed only because too few nodes answered.
func patiently(ctx context.Context, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := try()
		if !errors.Is(err, directory.ErrTimeout) && !errors.Is(err, directory.ErrRingDown) && !errors.Is(err, directory.ErrQuorum) {
			return err
		}
		select {
		case <-time.After(patientFor):
		case <-ctx.Done():
			return err
		}
	}
}

// takeTurn waits until nobody else publishes for the account.
func (a *Adapter) takeTurn(user string) *publication {
	a.mu.Lock()
	p := a.publication(user)
	a.mu.Unlock()
	p.turn.Lock()
	return p
}

// publication returns the account's entry; a.mu is held.
func (a *Adapter) publication(user string) *publication {
	p := a.published[user]
	if p == nil {
		p = &publication{}
		a.published[user] = p
	}
	return p
}

func (a *Adapter) notePublished(acct *account, live bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.publication(acct.User)
	p.live, p.at, p.problem = live, a.clock.Now(), ""
	if err != nil {
		p.problem = err.Error()
	}
}

// store signs one version of the registration record and publishes it. Where
// the ring holds a higher sequence number than we know (a restored backup, a
// lost disk), it learns that and tries once more.
func (a *Adapter) store(ctx context.Context, n *node.Node, acct *account, b record.Body) error {
	aor, err := identity.NewAOR(acct.User, n.Trust().Overlay())
	if err != nil {
		return err
	}
	floor := uint64(0)
	if now := a.account(aor); now != nil {
		acct = now // as it is now that it is our turn
	}
	if acct.Seq == 0 { // this device's first write: read what a quorum holds
		err = patiently(ctx, func() error {
			floor, err = n.Directory().Latest(ctx, aor, record.KindRegistration, acct.Part)
			return err
		})
		if err != nil {
			return err
		}
	}
	for range 2 {
		var seq uint64
		if seq, err = a.nextSeq(acct.User, floor); err != nil {
			return err
		}
		b.AOR, b.Kind, b.Part, b.Seq, b.Time, b.Expires = aor.String(), record.KindRegistration, acct.Part, seq, a.clock.Now().UnixMilli(), 0
		rec, err := record.Sign(b, acct.DeviceKey.PrivateKey, record.Chain{Certificates: acct.Chain, Delegation: acct.Delegation})
		if err != nil {
			return err
		}
		err = patiently(ctx, func() error {
			_, err := n.Directory().Publish(ctx, rec)
			return err
		})
		if err == nil || !errors.Is(err, directory.ErrStale) && !errors.Is(err, directory.ErrConflict) {
			return err
		}
		if floor, err = n.Directory().Latest(ctx, aor, record.KindRegistration, acct.Part); err != nil {
			return err
		}
	}
	return fmt.Errorf("the ring holds newer registrations of this device than it can know of: %w", directory.ErrStale)
}

// nextSeq returns max(last+1, floor+1, Unix ms) and has it on disk before it
// is used.
func (a *Adapter) nextSeq(user string, floor uint64) (uint64, error) {
	acct, err := a.update(user, func(acct *account) {
		acct.Seq = max(acct.Seq+1, floor+1, uint64(a.clock.Now().UnixMilli()))
	})
	return acct.Seq, err
}

// shareRepairEvery is how often an owner stores its shares and look-up
// records again: holders that have them say so at once.
const shareRepairEvery = 10 * time.Minute

// storeShares puts the account's signed shares and look-up records back where
// they belong, so that the bootstrap server is not needed to repair them.
func (a *Adapter) storeShares(ctx context.Context, n *node.Node, acct *account) {
	a.mu.Lock()
	p := a.publication(acct.User)
	due := a.clock.Now().Sub(p.shares).Abs() >= shareRepairEvery
	if due {
		p.shares = a.clock.Now()
	}
	records := slices.Clone(acct.Shares)
	for _, r := range []*record.Record{acct.Lookup, acct.Alias} {
		if r != nil {
			records = append(records, *r)
		}
	}
	a.mu.Unlock()
	if !due {
		return
	}
	a.spawn(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		if err := n.PublishAll(ctx, records); err != nil {
			a.log.Warn().Err(err).Msg("not all key shares could be stored; trying again later")
			a.mu.Lock()
			p.shares = time.Time{}
			a.mu.Unlock()
		}
	})
}

// keepEvery is how often the adapter looks what is due.
const keepEvery = 10 * time.Second

// keepPublished publishes restored phones when the ring is joined, refreshes
// registrations and renews certificates, until ctx ends.
func (a *Adapter) keepPublished(ctx context.Context) error {
	select {
	case <-a.nodeUp:
	case <-ctx.Done():
		return nil
	}
	n := a.Node()
	select {
	case <-n.Joined():
	case <-ctx.Done():
		return nil
	}
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
		for _, acct := range a.allAccounts() {
			a.tend(ctx, n, acct)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// tend does what is due for one account.
func (a *Adapter) tend(ctx context.Context, n *node.Node, acct *account) {
	ctx, cancel := context.WithTimeout(ctx, keepEvery)
	defer cancel()
	aor, err := identity.NewAOR(acct.User, n.Trust().Overlay())
	if err != nil {
		return
	}
	if len(a.bridge.Bindings(aor)) > 0 {
		_ = a.publish(ctx, n, acct, false) // logged and noted there
	}
	a.renewIfDue(ctx, n, acct, aor)
}

func (a *Adapter) allAccounts() []*account {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := make([]*account, 0, len(a.accounts))
	for _, acct := range a.accounts {
		snapshot := *acct
		all = append(all, &snapshot)
	}
	return all
}

// restoreBindings gives the bridge the phones that were registered when the
// adapter stopped and whose time has not run out.
func (a *Adapter) restoreBindings() error {
	all, err := a.state.bindings()
	if err != nil {
		return err
	}
	for user, bindings := range all {
		aor, err := identity.NewAOR(user, a.member.Overlay)
		if err != nil || a.account(aor) == nil {
			continue
		}
		bindings = slices.DeleteFunc(bindings, func(b sipbridge.Binding) bool { return !b.Expires.After(time.Now()) })
		if len(bindings) > 0 {
			a.bridge.Restore(aor, bindings)
		}
	}
	return nil
}
