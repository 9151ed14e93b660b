package adapter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/secp2psip/secp2psip/internal/admin"
	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/node"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// Changing keys. An account key is followed by one that it has signed: the
// bootstrap server certifies and deals the new one, its shares go to the ring
// beside the old ones, then the look-up record, and only then does this adapter
// use it. So whoever calls meanwhile finds a key that counts. What was begun is
// on disk, and goes on after a restart.

// defaultOverlap is how long the old account key counts beside the new one:
// further devices learn within a refresh that there is a new one.
const defaultOverlap = time.Hour

// errNoAccountKey: only the device that holds the key can change it.
var errNoAccountKey = errors.New("the account key of this name is on another device, the person's first")

// rotateAccount gives an account a new key.
func (a *Adapter) rotateAccount(ctx context.Context, n *node.Node, user string, overlap time.Duration) error {
	p, err := a.takeTurn(ctx, rotating(user))
	if err != nil {
		return err
	}
	defer p.release()
	acct, aor, err := a.prepare(n, user, func(acct *account, aor identity.AOR) (*nextKey, error) {
		return a.nextAccountKey(n, acct, aor, overlap)
	})
	if err != nil {
		return err
	}
	return a.finishRotation(ctx, n, acct, aor)
}

// prepare begins a change of keys, or returns the one that has begun.
func (a *Adapter) prepare(n *node.Node, user string, begin func(*account, identity.AOR) (*nextKey, error)) (*account, identity.AOR, error) {
	aor, err := identity.NewAOR(user, n.Trust().Overlay())
	if err != nil {
		return nil, aor, err
	}
	acct := a.account(aor)
	if acct == nil || acct.Next != nil {
		return acct, aor, nil
	}
	next, err := begin(acct, aor)
	if err != nil {
		return nil, aor, err
	}
	acct, err = a.update(user, func(acct *account) { acct.Next = next })
	return acct, aor, err
}

func (a *Adapter) nextAccountKey(n *node.Node, acct *account, aor identity.AOR, overlap time.Duration) (*nextKey, error) {
	if acct.AccountKey.IsZero() {
		return nil, errNoAccountKey
	}
	cert, err := n.Trust().VerifyAccount(acct.Chain, time.Time{})
	if err != nil {
		return nil, err
	}
	key, err := identity.GenerateKey()
	if err != nil {
		return nil, err
	}
	r, err := identity.SignRotation(acct.AccountKey.PrivateKey, aor, key.Public(), cert.Version+1, a.time.Now(), overlap)
	if err != nil {
		return nil, err
	}
	all := append(slices.Clone(acct.Rotations), r.Bytes()...)
	return &nextKey{Key: storedKey{key}, Rotations: all[max(0, len(all)-identity.MaxRotations*len(r.Bytes())):]}, nil
}

// finishRotation takes a change of keys that has begun to its end.
func (a *Adapter) finishRotation(ctx context.Context, n *node.Node, acct *account, aor identity.AOR) error {
	next := acct.Next
	if next.Device {
		return a.finishDevice(ctx, n, acct, aor)
	}
	r, err := a.requestRotation(ctx, n, acct, aor, wire.RotateBody{
		Old: acct.AccountKey.Public(), New: next.Key.Public(), Rotation: next.Rotations,
	}, identity.PrivateKey{}, next.Key.PrivateKey)
	if err != nil {
		return a.giveUp(acct.User, err)
	}
	take := func(acct *account) {
		acct.AccountKey, acct.Rotations, acct.Next = next.Key, next.Rotations, nil
	}
	fresh := *acct
	take(&fresh)
	if err := a.fillAccount(n.Trust(), aor, &fresh, n.ID(), r, a.time.Now()); err != nil {
		return err
	}
	if err := a.publishNew(ctx, n, &fresh); err != nil {
		return fmt.Errorf("the new key's shares could not be stored on the ring yet; the old key goes on, and this is tried again: %w", err)
	}
	if err := a.adoptRenewal(n, acct, aor, r, take); err != nil {
		return err
	}
	a.log.Info().Str("key", next.Key.Public().Fingerprint()).Msg("the account has a new key, signed by the one before")
	return a.republish(ctx, n, aor)
}

// republish puts the registration on the ring at once, where there is one.
func (a *Adapter) republish(ctx context.Context, n *node.Node, aor identity.AOR) error {
	a.mu.Lock()
	p := a.publication(aor.User())
	live := p.live
	p.since = time.Time{}
	a.mu.Unlock()
	if acct := a.account(aor); live && acct != nil {
		return a.publish(ctx, n, acct)
	}
	return nil
}

// publishNew stores the shares of a new key, then what leads to them. A share
// whose position cannot be reached now is put there by repair.
func (a *Adapter) publishNew(ctx context.Context, n *node.Node, fresh *account) error {
	all := fresh.records()
	shares := all[:len(fresh.Shares)]
	enough := len(shares) - (len(shares)-int(n.Trust().Charter().K))/2
	err := a.patiently(ctx, func(ctx context.Context) error {
		receipts, err := n.Directory().PublishAll(ctx, shares)
		stored := 0
		for _, r := range receipts {
			if r.Stored > 0 {
				stored++
			}
		}
		if stored >= enough {
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	return a.patiently(ctx, func(ctx context.Context) error {
		_, err := n.Directory().PublishAll(ctx, all[len(shares):])
		return err
	})
}

// requestRotation tells the bootstrap server of a new key.
func (a *Adapter) requestRotation(ctx context.Context, n *node.Node, acct *account, aor identity.AOR, b wire.RotateBody, old, fresh identity.PrivateKey) (*wire.Registered, error) {
	conn, err := a.bootstrapConn(ctx, n)
	if err != nil {
		return nil, fmt.Errorf("no bootstrap server answers, and a new key needs one: %w", err)
	}
	answer, err := a.askRotate(ctx, conn, n, acct, aor, b, old, fresh)
	if err != nil {
		return nil, err
	}
	r, ok := answer.(*wire.Registered)
	if !ok {
		return nil, link.ErrProtocol
	}
	return r, nil
}

func (a *Adapter) askRotate(ctx context.Context, conn *link.Conn, n *node.Node, acct *account, aor identity.AOR, b wire.RotateBody, old, fresh identity.PrivateKey) (wire.Message, error) {
	exporter, err := conn.Exporter()
	if err != nil {
		return nil, err
	}
	b.AOR, b.Device, b.Node, b.Part = aor.String(), acct.DeviceKey.Public(), n.ID(), acct.Part
	b.Time, b.Exporter = a.time.Now().UnixMilli(), exporter
	req, err := wire.SignRotate(b, old, fresh)
	if err != nil {
		return nil, err
	}
	return conn.Call(ctx, req)
}

// giveUp forgets a change of keys that was refused; one that was not heard of
// goes on later.
func (a *Adapter) giveUp(user string, err error) error {
	remote, ok := errors.AsType[*link.RemoteError](err)
	if !ok || remote.Code == wire.CodeUnavailable || remote.Code == wire.CodeInternal || remote.Code == wire.CodeTimeout {
		return err
	}
	_, failed := a.update(user, func(acct *account) { acct.Next = nil })
	return errors.Join(err, failed)
}

// rotateDevice gives this device a new key for an account.
func (a *Adapter) rotateDevice(ctx context.Context, n *node.Node, user string) error {
	p, err := a.takeTurn(ctx, rotating(user))
	if err != nil {
		return err
	}
	defer p.release()
	acct, aor, err := a.prepare(n, user, func(*account, identity.AOR) (*nextKey, error) {
		key, err := identity.GenerateKey()
		return &nextKey{Key: storedKey{key}, Device: true}, err
	})
	if err != nil {
		return err
	}
	return a.finishRotation(ctx, n, acct, aor)
}

// finishDevice has the account key delegate to the new device key, tells the
// bootstrap server, which asks for this device by its key at renewals, and goes
// on with it.
func (a *Adapter) finishDevice(ctx context.Context, n *node.Node, acct *account, aor identity.AOR) error {
	next := acct.Next
	b := wire.RotateBody{Old: acct.DeviceKey.Public(), New: next.Key.Public()}
	var signed identity.SignedDelegation
	var err error
	if acct.AccountKey.IsZero() {
		signed, err = a.askFirstDevice(ctx, n, acct, aor, b)
	} else {
		signed, err = delegate(acct, aor, b.New, n.ID(), acct.Part, n.Trust(), a.time.Now())
	}
	if err != nil {
		return a.giveUp(acct.User, err)
	}
	if _, err := a.requestRotation(ctx, n, acct, aor, b, acct.DeviceKey.PrivateKey, next.Key.PrivateKey); err != nil {
		return a.giveUp(acct.User, err)
	}
	_, err = a.update(acct.User, func(acct *account) {
		acct.DeviceKey, acct.Delegation, acct.Next = next.Key, signed, nil
	})
	if err != nil {
		return err
	}
	a.log.Info().Str("key", b.New.Fingerprint()).Msg("this device has a new key")
	return a.republish(ctx, n, aor)
}

// askFirstDevice asks the person's other devices for a delegation of a new
// device key; the one that holds the account key gives it.
func (a *Adapter) askFirstDevice(ctx context.Context, n *node.Node, acct *account, aor identity.AOR, b wire.RotateBody) (identity.SignedDelegation, error) {
	cert, err := n.Trust().VerifyAccount(acct.Chain, a.time.Now())
	if err != nil {
		return nil, err
	}
	res, err := n.Directory().Resolve(ctx, aor, directory.Options{Fresh: true})
	if err != nil {
		return nil, fmt.Errorf("looking for the person's first device: %w", err)
	}
	last := errNoFirstDevice
	for _, dev := range res.Devices {
		if dev.Node == n.ID() {
			continue
		}
		conn, err := n.Reach(ctx, dev)
		if err != nil {
			continue
		}
		answer, err := a.askRotate(ctx, conn, n, acct, aor, b, acct.DeviceKey.PrivateKey, acct.Next.Key.PrivateKey)
		delegated, ok := answer.(*wire.Delegated)
		if err != nil || !ok {
			last = errors.Join(errNoFirstDevice, err)
			continue
		}
		d, err := n.Trust().VerifyDelegation(delegated.Delegation, cert.Key, a.time.Now())
		if err == nil && d.Device == b.New && d.Node == n.ID() && d.Part == acct.Part && d.AOR == aor.String() {
			return delegated.Delegation, nil
		}
	}
	return nil, last
}

// errNoFirstDevice: a device that another one admitted needs that one.
var errNoFirstDevice = errors.New("the person's first device, which holds the account key, must be running to admit the new device key")

// serveRotate lets a device that was admitted here go on with a new key, on the
// word of the old one.
func (a *Adapter) serveRotate(ctx context.Context, from *link.Conn, m *wire.Rotate) wire.Message {
	n := a.Node()
	exporter, err := from.Exporter()
	if err != nil {
		return a.refuse(reasonBadDelegate, wire.CodeUnauthorized, "this was signed for another link")
	}
	b, err := m.Verify(exporter)
	if err != nil || b.Node != from.ID() || len(b.Rotation) > 0 || a.time.Now().Sub(time.UnixMilli(b.Time)).Abs() > 5*callWindow {
		return a.refuse(reasonBadDelegate, wire.CodeUnauthorized, "the change of keys does not verify")
	}
	aor, err := identity.ParseAOR(b.AOR)
	if err != nil {
		return a.refuse(reasonBadDelegate, wire.CodeMalformed, "the name cannot be read")
	}
	acct := a.account(aor)
	if acct == nil || acct.AccountKey.IsZero() {
		return a.refuse(reasonBadDelegate, wire.CodeNotFound, "the account key of this name is not here")
	}
	if !acct.Admitted[b.Old.String()] && !acct.Admitted[b.New.String()] || !a.isPart(ctx, n, acct, aor, b) {
		return a.refuse(reasonBadDelegate, wire.CodeUnauthorized, "that device was not admitted here")
	}
	if n.Trust().Board().DeviceRevoked(acct.AccountKey.Public().Digest(), b.Old) {
		return a.refuse(reasonBadDelegate, wire.CodeForbidden, "that device is revoked")
	}
	signed, err := delegate(acct, aor, b.New, b.Node, b.Part, n.Trust(), a.time.Now())
	if err == nil {
		_, err = a.update(acct.User, func(acct *account) {
			acct.swapDevice(b.Old, b.New)
		})
	}
	if err != nil {
		a.log.Error().Err(err).Msg("a further device cannot change its key")
		return wire.Errorf(wire.CodeInternal, "the delegation cannot be signed")
	}
	a.log.Info().Stringer("node", b.Node).Msg("a further device of an account here has a new key")
	return &wire.Delegated{Delegation: signed}
}

// rotateRefusal says what to do about a change of keys that failed.
func rotateRefusal(err error) error {
	if errors.Is(err, errNoAccountKey) {
		return admin.Errorf(admin.CodeRefused, "%v", err).WithHint("run it there; 'secp2psip devices' shows which one that is")
	}
	if remote, ok := errors.AsType[*link.RemoteError](err); ok && remote.Code == wire.CodeTooMany {
		return admin.Errorf(admin.CodeUnavailable, "%s", remote.Reason).WithHint("the key that the name has goes on; try again later")
	}
	return admin.Errorf(admin.CodeUnavailable, "%v", err).WithHint("the old key goes on; what has begun is tried again by itself while this adapter runs")
}

// resumeRotation goes on with a change of keys that was interrupted.
func (a *Adapter) resumeRotation(n *node.Node, acct *account) {
	if acct.Next == nil {
		return
	}
	a.spawn(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, repairTime)
		defer cancel()
		p, err := a.takeTurn(ctx, rotating(acct.User))
		if err != nil {
			return // it is under way
		}
		defer p.release()
		aor, err := identity.NewAOR(acct.User, n.Trust().Overlay())
		now := a.account(aor)
		if err != nil || now == nil || now.Next == nil {
			return
		}
		if err := a.finishRotation(ctx, n, now, aor); err != nil && !a.isLeaving() {
			a.log.Warn().Err(err).Msg("a change of keys could not be finished; trying again")
		}
	})
}

// rotating names the turn of those who change an account's keys; no name of an
// account has a space.
func rotating(user string) string { return "rotate " + user }

// remind shows the bootstrap server how the account key came about, where it
// knows an earlier one.
func (a *Adapter) remind(ctx context.Context, n *node.Node, acct *account, aor identity.AOR) error {
	steps, err := identity.ParseRotations(acct.Rotations)
	if err != nil || acct.AccountKey.IsZero() {
		return errors.Join(link.ErrProtocol, err)
	}
	old := steps[len(steps)-1].Old
	r, err := a.requestRotation(ctx, n, acct, aor, wire.RotateBody{Old: old, New: acct.AccountKey.Public(), Rotation: acct.Rotations},
		identity.PrivateKey{}, acct.AccountKey.PrivateKey)
	if err != nil {
		return err
	}
	return a.adoptRenewal(n, acct, aor, r, nil)
}
