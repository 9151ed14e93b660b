package adapter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/secp2psip/secp2psip/internal/admin"
	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/node"
	"github.com/secp2psip/secp2psip/internal/record"
)

// A restricted account's registration is sealed for the people that its owner
// names. It is written by a key that the account key delegates to for no node
// in particular, so that the record does not say where the device is.

// signer is what a registration is signed with.
type signer struct {
	key   identity.PrivateKey
	chain record.Chain
}

// signer returns the device's own key, or the writer's of a restricted account.
func (a *Adapter) signer(acct *account, aor identity.AOR, trust *identity.Trust) (signer, error) {
	if !acct.Restricted {
		return signer{acct.DeviceKey.PrivateKey, record.Chain{Certificates: acct.Chain, Delegation: acct.Delegation}}, nil
	}
	life := time.Duration(trust.Charter().CertificateLifetime) * time.Second
	d, err := identity.Delegation{ // the same bytes until the account is renewed
		AOR: aor.String(), Device: acct.WriterKey.Public(), Part: acct.Part, Issued: acct.Renewed.UnixMilli(), Expires: acct.Renewed.Add(life).UnixMilli(),
	}.Sign(acct.AccountKey.PrivateKey)
	return signer{acct.WriterKey.PrivateKey, record.Chain{Certificates: acct.Chain, Delegation: d}}, err
}

// sealFor returns a registration's data as the account's readers alone can open
// it. A reader whose key cannot be had is left out until the next time.
func (a *Adapter) sealFor(ctx context.Context, n *node.Node, acct *account, reg record.Registration) ([]byte, error) {
	aor, err := identity.NewAOR(acct.User, n.Trust().Overlay())
	if err != nil {
		return nil, err
	}
	var keys []identity.PublicKey
	for _, name := range acct.Readers {
		if key, ok := a.readerKey(ctx, n, name); ok {
			keys = append(keys, key)
		}
	}
	return record.SealRegistration(fitting(reg), aor, acct.Part, acct.AccountKey.Public(), keys)
}

// fitting leaves out addresses until a registration can be sealed: the last
// ones of those with most, for the first ones are the likeliest.
func fitting(reg record.Registration) record.Registration {
	reg.Addrs = slices.Clone(reg.Addrs[:min(len(reg.Addrs), sealedAddrs)])
	reg.Via = slices.Clone(reg.Via)
	for i, v := range reg.Via {
		reg.Via[i].Addrs = v.Addrs[:min(len(v.Addrs), sealedViaAddrs)]
	}
	return reg
}

// Addresses in a sealed registration: with three peers of a client, IPv6, and
// the words of features with a device's name, they take record.MaxSealed bytes at most.
const (
	sealedAddrs    = 5
	sealedViaAddrs = 2
)

// readerKey returns the account key of a reader: the one pinned, or what the
// ring says, which pins it.
func (a *Adapter) readerKey(ctx context.Context, n *node.Node, name string) (identity.PublicKey, bool) {
	aor, err := identity.ParseAOR(name)
	if err != nil {
		return identity.PublicKey{}, false
	}
	if pin, ok := a.pins.Get(aor); ok {
		return pin.Key, true
	}
	for _, acct := range a.allAccounts() {
		if acct.User == aor.User() && !acct.AccountKey.IsZero() {
			return acct.AccountKey.Public(), true
		}
	}
	res, err := n.Directory().Resolve(ctx, aor, directory.Options{})
	if err != nil && !errors.Is(err, directory.ErrNotRegistered) || res == nil || res.Key.IsZero() {
		return identity.PublicKey{}, false
	}
	return res.Key, true
}

// openingKeys are the account keys here, for what is sealed for somebody here.
func (a *Adapter) openingKeys() []identity.PrivateKey {
	var keys []identity.PrivateKey
	for _, acct := range a.allAccounts() {
		if !acct.AccountKey.IsZero() {
			keys = append(keys, acct.AccountKey.PrivateKey)
		}
	}
	return keys
}

// visible answers on the admin socket.
func (a *Adapter) visible(ctx context.Context, req admin.VisibleRequest) (*admin.Visible, error) {
	user, err := a.oneAccount(req.Account)
	if err != nil {
		return nil, err
	}
	n := a.Node()
	aor, err := identity.NewAOR(user, a.membership().Overlay)
	if err != nil || n == nil {
		return nil, admin.Errorf(admin.CodeUnavailable, "this adapter is not enrolled yet")
	}
	if req.Change {
		if err := a.restrict(ctx, n, aor, req); err != nil {
			return nil, err
		}
	}
	acct := a.account(aor)
	out := &admin.Visible{Account: user, Everybody: !acct.Restricted, Readers: []admin.Reader{}}
	for _, name := range acct.Readers {
		r := admin.Reader{AOR: name}
		if key, ok := a.readerKey(ctx, n, name); ok {
			r.Fingerprint = key.Fingerprint()
		}
		out.Readers = append(out.Readers, r)
	}
	return out, nil
}

// restrict changes who can read the registration, and publishes it anew.
func (a *Adapter) restrict(ctx context.Context, n *node.Node, aor identity.AOR, req admin.VisibleRequest) error {
	readers, err := a.readers(ctx, n, aor, req)
	if err != nil {
		return err
	}
	writer, err := identity.GenerateKey()
	if err != nil {
		return err
	}
	acct, err := a.update(aor.User(), func(acct *account) {
		if acct.WriterKey.IsZero() {
			acct.WriterKey = storedKey{writer}
		}
		acct.Restricted, acct.Readers = !req.Everybody, readers
	})
	if err != nil {
		return err
	}
	a.mu.Lock()
	a.publication(acct.User).since = time.Time{}
	a.mu.Unlock()
	if len(a.bridge.Bindings(aor)) == 0 {
		return nil // the next phone's REGISTER publishes it
	}
	if err := a.publish(ctx, n, acct); err != nil {
		return admin.Errorf(admin.CodeUnavailable, "kept, but the ring does not have it yet: %v", err).WithHint("nothing has to be done: it is tried again; 'secp2psip status' tells")
	}
	return nil
}

// readers checks the names that a registration is to be sealed for.
func (a *Adapter) readers(ctx context.Context, n *node.Node, aor identity.AOR, req admin.VisibleRequest) ([]string, error) {
	acct := a.account(aor)
	switch {
	case req.Everybody && len(req.Readers) > 0:
		return nil, admin.Errorf(admin.CodeBadRequest, "either everybody or names")
	case req.Everybody:
		return nil, nil
	case acct.AccountKey.IsZero():
		return nil, admin.Errorf(admin.CodeRefused, "the account key of %s is on the first device only, and its registration cannot be sealed without it", acct.User).
			WithHint("run it there")
	case len(req.Readers) > record.MaxReaders:
		return nil, admin.Errorf(admin.CodeRefused, "a registration can be sealed for %d people, not for %d", record.MaxReaders, len(req.Readers))
	}
	var out []string
	for _, who := range req.Readers {
		name, err := a.nameOf(ctx, who)
		if err != nil {
			return nil, err
		}
		user, overlay, ok := strings.Cut(strings.TrimPrefix(name, "sip:"), "@")
		if !ok {
			overlay = aor.Overlay()
		}
		reader, err := identity.NewAOR(user, overlay)
		if err != nil || overlay != aor.Overlay() {
			return nil, admin.Errorf(admin.CodeBadRequest, "%q is nobody of %s", who, aor.Overlay())
		}
		if _, ok := a.readerKey(ctx, n, reader.String()); !ok {
			return nil, admin.Errorf(admin.CodeNotFound, "the key of %s cannot be had, so nothing can be sealed for that person", reader.User()).
				WithHint(fmt.Sprintf("'secp2psip lookup %s' says why", reader.User()))
		}
		if !slices.Contains(out, reader.String()) {
			out = append(out, reader.String())
		}
	}
	return out, nil
}
