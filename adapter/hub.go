package adapter

import (
	"context"
	"errors"
	"time"

	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/node"
	"github.com/secp2psip/secp2psip/sipbridge"
)

// The bridge's Directory: what phones ask the adapter.

// joinWait is how long a phone's request waits for the ring before it is told
// to come back.
const joinWait = 8 * time.Second

// Account tells whether a phone here may use the name: one of the enrolled
// accounts (by name or number), one we hold an invitation for, or, where the
// overlay enrols openly, the first name that asks.
func (a *Adapter) Account(user string) (identity.AOR, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	m := a.member
	aor, err := identity.NewAOR(user, m.Overlay)
	if err != nil {
		return identity.AOR{}, sipbridge.AddressIncomplete(err.Error())
	}
	if _, ok := a.accounts[aor.User()]; ok {
		return aor, nil
	}
	for _, acct := range a.accounts {
		if acct.Number != "" && acct.Number == aor.User() {
			return identity.NewAOR(acct.User, m.Overlay)
		}
	}
	if m.invitation(aor.User()) != nil || m.Open && len(a.accounts) == 0 {
		return aor, nil
	}
	return identity.AOR{}, sipbridge.Forbidden("this adapter does not serve the name " + aor.User() + "; add it with an invitation: secp2psip adapter --join LINK")
}

// account returns an enrolled account as it is now, or nil.
func (a *Adapter) account(aor identity.AOR) *account {
	a.mu.Lock()
	defer a.mu.Unlock()
	if aor.Overlay() != a.member.Overlay {
		return nil
	}
	return a.accounts[aor.User()]
}

// allAccounts returns the enrolled accounts as they are now.
func (a *Adapter) allAccounts() []*account {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := make([]*account, 0, len(a.accounts))
	for _, acct := range a.accounts {
		all = append(all, acct)
	}
	return all
}

// update changes a copy of an account, writes that to the state file, takes
// it over and returns it. Where it cannot be written nothing changes.
func (a *Adapter) update(user string, change func(*account)) (*account, error) {
	a.saving.Lock()
	defer a.saving.Unlock()
	a.mu.Lock()
	acct := *a.accounts[user]
	a.mu.Unlock()
	change(&acct)
	return &acct, a.keepLocked(&acct, nil)
}

// keepLocked writes an account and the member (nil: it stays as it is) to the
// state file, both or none, and takes them over. saving is held.
func (a *Adapter) keepLocked(acct *account, m *member) error {
	entries := []entry{{bucketAccounts, []byte(acct.User), acct}, {bucketPending, []byte(acct.User), nil}}
	if m != nil {
		entries = append(entries, entry{bucketMeta, metaMember, m})
	}
	if err := a.state.put(entries...); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.accounts[acct.User] = acct
	if m != nil {
		a.member = m
	}
	return nil
}

// keepCharter writes down a later edition of the overlay's charter.
func (a *Adapter) keepCharter(s identity.SignedCharter) error {
	a.saving.Lock()
	defer a.saving.Unlock()
	m := *a.membership()
	m.Charter = s
	if err := a.state.put(entry{bucketMeta, metaMember, &m}); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.member = &m
	return nil
}

// membership is what makes this adapter a node, as it is now.
func (a *Adapter) membership() *member {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.member
}

// Register makes a phone's bindings known to the overlay: it enrols the name
// if that has not happened yet, joins the ring and publishes the
// registration. No bindings takes the registration back.
func (a *Adapter) Register(ctx context.Context, r sipbridge.Registration) error {
	ticket := a.ticket(r.AOR)
	acct, err := a.ensureEnrolled(ctx, r.AOR)
	if err != nil {
		return err
	}
	n, err := a.ready(ctx)
	if err != nil {
		return err
	}
	if len(r.Bindings) == 0 {
		err = a.unpublish(ctx, n, acct)
	} else {
		err = a.publish(ctx, n, acct)
	}
	if err == nil {
		a.saveBindings(r, ticket)
	}
	return err
}

// ready returns the node once it is a member of the ring.
func (a *Adapter) ready(ctx context.Context) (*node.Node, error) {
	ctx, cancel := context.WithTimeout(ctx, joinWait)
	defer cancel()
	select {
	case <-a.leaving:
		return nil, sipbridge.OverlayDown("this adapter is stopping", 5*time.Second)
	case <-a.nodeUp:
	case <-ctx.Done():
		return nil, sipbridge.OverlayDown("this adapter is not enrolled yet; register the phone first", 5*time.Second)
	}
	n := a.Node()
	select {
	case <-n.Joined():
		return n, nil
	case <-ctx.Done():
		return nil, sipbridge.OverlayDown("still joining the ring: no other node answers", 5*time.Second)
	}
}

// resolve looks a name up and turns every failure into the phone's answer.
// The resolution is nil where even the evidence is missing.
func (a *Adapter) resolve(ctx context.Context, n *node.Node, target string, opt directory.Options) (*directory.Resolution, error) {
	target, opt.Key = identity.SplitDialled(target)
	name, err := identity.NewAOR(target, n.Trust().Overlay())
	if err != nil {
		return nil, sipbridge.AddressIncomplete(err.Error())
	}
	res, err := patiently(ctx, n, name, opt)
	if errors.Is(err, directory.ErrNoSuchName) && n.CutOff() {
		err = directory.ErrRingDown // others may well know the name
	}
	if err != nil {
		return res, resolveRefusal(err)
	}
	return res, nil
}

// patiently resolves a name, again for a while where nodes answered but none
// vouched for what it holds: so it is for a moment when nodes join or leave.
func patiently(ctx context.Context, n *node.Node, name identity.AOR, opt directory.Options) (*directory.Resolution, error) {
	began := time.Now()
	for {
		res, err := n.Directory().Resolve(ctx, name, opt)
		unsettled := errors.Is(err, directory.ErrTimeout) || errors.Is(err, directory.ErrRingDown) && !n.CutOff()
		if !unsettled || time.Since(began) > resolvePatience {
			return res, err
		}
		select {
		case <-time.After(patientFor):
		case <-ctx.Done():
			return res, err
		}
	}
}

// resolvePatience is how long a look-up that came to no result is repeated.
const resolvePatience = 2 * time.Second

// resolveRefusal is the response table for what a resolution can end with.
func resolveRefusal(err error) error {
	switch {
	case errors.Is(err, directory.ErrNoSuchName):
		return sipbridge.NoSuchName("nobody of this name is enrolled")
	case errors.Is(err, directory.ErrRevoked):
		return sipbridge.Forbidden("this name is " + err.Error())
	case errors.Is(err, directory.ErrNotRegistered):
		return sipbridge.NotRegistered("")
	case errors.Is(err, directory.ErrKeyChanged):
		return sipbridge.KeyUnverified(err.Error() + "; ask its owner, then run 'secp2psip accept' for that name")
	case errors.Is(err, directory.ErrOtherKey):
		return sipbridge.KeyUnverified(err.Error() + "; nobody was called: ask its owner for the address")
	case errors.Is(err, directory.ErrKeyConflict), errors.Is(err, directory.ErrNotEnoughShares):
		return sipbridge.KeyUnverified(err.Error())
	case errors.Is(err, directory.ErrHidden):
		return sipbridge.OverlayDown(err.Error()+"; nobody was asked openly (privacy.hidden_lookups)", 5*time.Second)
	case errors.Is(err, directory.ErrTimeout), errors.Is(err, context.DeadlineExceeded):
		return sipbridge.TimedOut("too few nodes of the ring answered the look-up; try again")
	case errors.Is(err, directory.ErrBusy):
		return sipbridge.Overloaded("too many look-ups at once", 2*time.Second)
	case errors.Is(err, directory.ErrRingDown):
		return sipbridge.OverlayDown("no other node of the ring answers", 5*time.Second)
	case errors.Is(err, directory.ErrClosed), errors.Is(err, context.Canceled):
		return sipbridge.OverlayDown("this adapter is stopping", 5*time.Second)
	}
	return sipbridge.Internal("the look-up failed: " + err.Error())
}
