package adapter

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/sipbridge"
)

// FillDisk keeps the state file from growing, as a full disk would; with false
// it may grow again.
func (a *Adapter) FillDisk(full bool) {
	a.state.db.MaxSize = 0
	if full {
		a.state.db.MaxSize = 1
	}
}

// KeepKeys makes and keeps the keys of an enrolment, as the first try does.
func (a *Adapter) KeepKeys(t *testing.T, user string) {
	t.Helper()
	aor, err := a.Account(user)
	if err == nil {
		_, err = a.pendingAccount(aor)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// CallNames returns the names under which carried calls can be taken over.
func (a *Adapter) CallNames() (names [][16]byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for name := range a.lasting {
		names = append(names, name)
	}
	return names
}

// Papers are what a device of an account here signs with: device key,
// delegation, certificates and part.
func (a *Adapter) Papers(user string) (identity.PrivateKey, identity.SignedDelegation, [][]byte, uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	acct := a.accounts[user]
	return acct.DeviceKey.PrivateKey, acct.Delegation, acct.Chain, acct.Part
}

// PublishAgain refreshes a registration before its time.
func (a *Adapter) PublishAgain(t *testing.T, user string) {
	t.Helper()
	aor, err := a.Account(user)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_ = a.republish(ctx, a.Node(), aor) // what fails is noted
}

// TendNow does for an account what is due when its registration was refused.
func (a *Adapter) TendNow(user string) {
	a.mu.Lock()
	acct, behind := a.accounts[user], a.publication(user).behind
	a.mu.Unlock()
	aor, err := identity.NewAOR(user, a.Node().Trust().Overlay())
	if err != nil || !behind {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if a.renew(ctx, a.Node(), acct, aor) == nil {
		_ = a.republish(ctx, a.Node(), aor)
	}
}

// PhoneAt registers a phone that is there, as its REGISTER would.
func (a *Adapter) PhoneAt(ctx context.Context, user string, at netip.AddrPort) error {
	aor, err := a.Account(user)
	if err != nil {
		return err
	}
	phone := []sipbridge.Binding{{
		Contact: "sip:" + user + "@" + at.String(), Source: at, Transport: "udp", CallID: "phone", CSeq: 1, Q: 1000,
		Expires: a.time.Steady().Add(time.Hour),
	}}
	a.bridge.Restore(aor, phone)
	return a.Register(ctx, sipbridge.Registration{AOR: aor, Bindings: phone})
}

// LookSelfUp looks a name of this adapter up as it does by itself now and then.
func (a *Adapter) LookSelfUp(ctx context.Context, user string) error {
	aor, err := a.Account(user)
	if err != nil {
		return err
	}
	return a.decoy(ctx, a.Node(), a.account(aor))
}
