package adapter

import (
	"context"
	"errors"
	"fmt"
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
	overlay := a.member.Overlay
	aor, err := identity.NewAOR(user, overlay)
	if err != nil {
		return identity.AOR{}, sipbridge.AddressIncomplete(err.Error())
	}
	if _, ok := a.accounts[aor.User()]; ok {
		return aor, nil
	}
	for _, acct := range a.accounts {
		if acct.Number != "" && acct.Number == aor.User() {
			return identity.NewAOR(acct.User, overlay)
		}
	}
	if _, ok := a.member.Invited[aor.User()]; ok || a.member.Open && len(a.accounts) == 0 {
		return aor, nil
	}
	return identity.AOR{}, sipbridge.Forbidden("this adapter does not serve the name " + aor.User() + "; add it with an invitation: secp2psip adapter --join LINK")
}

// account returns an enrolled account as it is now, or nil. The copy stays as
// it is; changes go through update.
func (a *Adapter) account(aor identity.AOR) *account {
	a.mu.Lock()
	defer a.mu.Unlock()
	acct := a.accounts[aor.User()]
	if acct == nil {
		return nil
	}
	snapshot := *acct
	return &snapshot
}

// update changes an account, writes it to the state file and returns it as
// it is then. Slices and maps in it are replaced, never changed in place.
func (a *Adapter) update(user string, change func(*account)) (*account, error) {
	a.saving.Lock() // so that states reach the file in order
	defer a.saving.Unlock()
	a.mu.Lock()
	acct := *a.accounts[user]
	change(&acct)
	a.accounts[user] = &acct
	a.mu.Unlock()
	return &acct, a.state.put(bucketAccounts, []byte(user), acct)
}

// Register makes a phone's bindings known to the overlay: it enrols the name
// if that has not happened yet, joins the ring and publishes the
// registration. No bindings takes the registration back.
func (a *Adapter) Register(ctx context.Context, r sipbridge.Registration) error {
	acct, err := a.ensureEnrolled(ctx, r.AOR)
	if err != nil {
		return err
	}
	a.saveBindings(r)
	n, err := a.ready(ctx)
	if err != nil {
		return err
	}
	if len(r.Bindings) == 0 {
		return a.unpublish(ctx, n, acct)
	}
	return a.publish(ctx, n, acct, false)
}

// saveBindings keeps the phones for a restart.
func (a *Adapter) saveBindings(r sipbridge.Registration) {
	if err := a.state.put(bucketBindings, []byte(r.AOR.User()), r.Bindings); err != nil {
		a.log.Error().Err(err).Msg("the phones' registrations cannot be saved: after a restart they must register anew")
	}
}

// ready returns the node once it is a member of the ring.
func (a *Adapter) ready(ctx context.Context) (*node.Node, error) {
	ctx, cancel := context.WithTimeout(ctx, joinWait)
	defer cancel()
	select {
	case <-a.nodeUp:
	case <-ctx.Done():
		return nil, sipbridge.OverlayDown("this adapter is not enrolled yet", 5*time.Second)
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
func (a *Adapter) resolve(ctx context.Context, n *node.Node, target string) (*directory.Resolution, error) {
	name, err := identity.NewAOR(target, a.member.Overlay)
	if err != nil {
		return nil, sipbridge.AddressIncomplete(err.Error())
	}
	began := time.Now()
	for {
		res, err := n.Directory().Resolve(ctx, name, directory.Options{})
		if err == nil {
			return res, nil
		}
		// While nodes join or leave, holders vouch for nothing for a moment.
		if !errors.Is(err, directory.ErrTimeout) || time.Since(began) > resolvePatience {
			return res, resolveRefusal(err)
		}
		select {
		case <-time.After(patientFor):
		case <-ctx.Done():
			return res, resolveRefusal(err)
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
	case errors.Is(err, directory.ErrNotRegistered):
		return sipbridge.NotRegistered("")
	case errors.Is(err, directory.ErrKeyChanged):
		return sipbridge.KeyUnverified(err.Error() + "; if its owner confirms the new key, accept it")
	case errors.Is(err, directory.ErrKeyConflict), errors.Is(err, directory.ErrNotEnoughShares):
		return sipbridge.KeyUnverified(err.Error())
	case errors.Is(err, directory.ErrTimeout), errors.Is(err, context.DeadlineExceeded):
		return sipbridge.TimedOut("too few nodes of the ring answered the look-up; try again")
	case errors.Is(err, directory.ErrBusy):
		return sipbridge.Overloaded("too many look-ups at once", 2*time.Second)
	case errors.Is(err, directory.ErrRingDown):
		return sipbridge.OverlayDown("no other node of the ring answers", 5*time.Second)
	}
	return sipbridge.Internal(fmt.Sprintf("the look-up failed: %v", err))
}
