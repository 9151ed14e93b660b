package adapter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/secp2psip/secp2psip/internal/admin"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/node"
	"github.com/secp2psip/secp2psip/internal/wire"
	"github.com/secp2psip/secp2psip/sipbridge"
)

// What a person does about her own devices and key, without the bootstrap
// server: the account key signs a bulletin that all nodes check.

func (a *Adapter) admission() admin.Handlers {
	return admin.Handlers{
		admin.MethodDevices:   admin.Handle(a.listDevices),
		admin.MethodRevoke:    admin.Handle(a.revoke),
		admin.MethodObject:    admin.Handle(a.object),
		admin.MethodBulletins: func(context.Context, json.RawMessage) (any, error) { return a.bulletins() },
	}
}

// admittedDevice is a device that the account key was made to delegate to.
type admittedDevice struct {
	Key     identity.PublicKey
	Node    identity.NodeID
	NodeKey identity.PublicKey
	Part    uint64
	At      time.Time
}

// errNotEnrolled is for who asks too early.
func (a *Adapter) errNotEnrolled() error {
	return admin.Errorf(admin.CodeUnavailable, "this adapter is not enrolled yet").WithHint("register a phone as " + a.expected() + " first")
}

// own finds an account of this adapter; without a name, its only one.
func (a *Adapter) own(user string) (*account, identity.AOR, *node.Node, error) {
	n := a.Node()
	if n == nil {
		return nil, identity.AOR{}, nil, a.errNotEnrolled()
	}
	all := a.allAccounts()
	if user == "" && len(all) == 1 {
		user = all[0].User
	}
	aor, err := identity.NewAOR(user, n.Trust().Overlay())
	if err != nil {
		return nil, aor, n, admin.Errorf(admin.CodeBadRequest, "say which name: %v", err)
	}
	acct := a.account(aor)
	if acct == nil {
		return nil, aor, n, admin.Errorf(admin.CodeNotFound, "%s is no name of this adapter", aor)
	}
	return acct, aor, n, nil
}

// accountOf returns the digest of an account's key, revoked or not.
func accountOf(n *node.Node, acct *account) (identity.KeyDigest, error) {
	if !acct.AccountKey.IsZero() {
		return acct.AccountKey.Public().Digest(), nil
	}
	cert, err := n.Trust().AccountOf(acct.Chain)
	if err != nil {
		return identity.KeyDigest{}, admin.Errorf(admin.CodeRefused, "the account of %s: %v", acct.User, err)
	}
	return cert.Key.Digest(), nil
}

// revoke withdraws a device that the account key here has admitted: its key,
// and the adapter that it runs on where that is this person's.
func (a *Adapter) revoke(_ context.Context, req admin.RevokeRequest) (*admin.RevokeResult, error) {
	acct, aor, n, err := a.own(req.User)
	if err != nil {
		return nil, err
	}
	if req.Device == nil {
		return nil, admin.Errorf(admin.CodeBadRequest, "an adapter revokes devices; a whole name is revoked on the bootstrap server").
			WithHint("name the device: secp2psip revoke " + acct.User + " --device N; 'secp2psip devices' lists them")
	}
	at := slices.IndexFunc(acct.Devices, func(d admittedDevice) bool {
		return int(d.Part) == *req.Device && !n.Board().DeviceRevoked(acct.AccountKey.Public().Digest(), d.Key)
	})
	switch {
	case acct.AccountKey.IsZero():
		return nil, admin.Errorf(admin.CodeRefused, "the account key of %s is not here but on the name's first device", aor).
			WithHint("run this there, or let the operator revoke the device")
	case at < 0 && int(acct.Part) == *req.Device:
		return nil, admin.Errorf(admin.CodeRefused, "that is this very device, which holds the account key").
			WithHint("the operator can revoke the name and let you recover it on another device")
	case at < 0:
		return nil, admin.Errorf(admin.CodeNotFound, "%s has no device %d that was admitted here", aor, *req.Device).
			WithHint("'secp2psip devices' lists them")
	}
	d := acct.Devices[at]
	device := identity.Bulletin{Kind: identity.RevokeDevice, Subject: d.Key.Digest(), Account: acct.AccountKey.Public().Digest(), Note: req.Note}
	machine := identity.Bulletin{Kind: identity.RevokeNode, Subject: d.NodeKey.Digest(), Note: req.Note}
	if err := a.postAs(n, acct, machine, device); err != nil {
		return nil, admin.Errorf(admin.CodeRefused, "%v", err)
	}
	_, err = a.update(acct.User, func(acct *account) {
		acct.Admitted = maps.Clone(acct.Admitted)
		delete(acct.Admitted, d.Key.String())
	})
	if err != nil {
		return nil, admin.Errorf(admin.CodeInternal, "%v", err)
	}
	a.log.Info().Stringer("node", d.Node).Msg("a device of an account here was revoked")
	return &admin.RevokeResult{AOR: aor.String(), Nodes: 1}, nil
}

// postAs signs bulletins with an account's key, and tells the overlay.
func (a *Adapter) postAs(n *node.Node, acct *account, bulletins ...identity.Bulletin) error {
	now, c := a.time.Now(), n.Trust().Charter()
	until := now.Add(time.Duration(c.CertificateLifetime)*time.Second + c.GraceTime() + 24*time.Hour)
	var signed []identity.SignedBulletin
	for _, b := range bulletins {
		b.Overlay, b.Issued = n.Trust().Overlay(), now.UnixMilli()
		if b.Until == 0 {
			b.Until = until.UnixMilli()
		}
		s, err := identity.SignBulletin(b, acct.AccountKey.PrivateKey, acct.Chain...)
		if err != nil {
			return err
		}
		signed = append(signed, s)
	}
	return n.Announce(signed...)
}

// object signs an objection to the recovery that was announced for a name here.
func (a *Adapter) object(_ context.Context, req admin.ObjectRequest) (any, error) {
	acct, aor, n, err := a.own(req.User)
	if err != nil {
		return nil, err
	}
	if acct.AccountKey.IsZero() {
		return nil, admin.Errorf(admin.CodeRefused, "the account key of %s is not here but on the name's first device", aor).WithHint("run this there")
	}
	r, objected, from := n.Board().RecoveryOf(aor)
	switch {
	case r == nil || r.Account != acct.AccountKey.Public().Digest():
		return nil, admin.Errorf(admin.CodeNotFound, "no other key has been announced for %s", aor)
	case objected:
		return nil, nil
	case !a.time.Now().Before(from):
		return nil, admin.Errorf(admin.CodeRefused, "too late: the new key counts since %s; talk to the operator", from.Local().Format(time.DateTime))
	}
	err = a.postAs(n, acct, identity.Bulletin{Kind: identity.Veto, Subject: identity.KeyDigest(r.ID), Account: r.Account, Name: r.Name, Until: r.Until})
	if err != nil {
		return nil, admin.Errorf(admin.CodeRefused, "%v", err)
	}
	a.log.Info().Msg("objected to another key for a name of this adapter")
	return nil, nil
}

// bulletins shows names that are this adapter's or pinned here.
func (a *Adapter) bulletins() (*admin.Bulletins, error) {
	n := a.Node()
	if n == nil {
		return nil, a.errNotEnrolled()
	}
	names := map[identity.NodeID]string{}
	for aor := range a.pins.All() {
		names[identity.NameTag(aor)] = aor.String()
	}
	for _, acct := range a.allAccounts() {
		if aor, err := identity.NewAOR(acct.User, n.Trust().Overlay()); err == nil {
			names[identity.NameTag(aor)] = aor.String()
		}
	}
	return n.Bulletins(func(tag identity.NodeID) string { return names[tag] }), nil
}

// standing is why an account of this adapter may not call any more: it, this
// device or this adapter is revoked.
func (a *Adapter) standing(n *node.Node, acct *account) error {
	board := n.Board()
	if board.Len() == 0 {
		return nil
	}
	if n.Revoked() != nil {
		return fmt.Errorf("%w: this adapter; ask the operator for an invitation and enrol from a new state folder", identity.ErrRevoked)
	}
	_, err := n.Trust().VerifyAccount(acct.Chain, time.Time{})
	if errors.Is(err, identity.ErrRevoked) && !n.IssuerState(acct.Chain).Revoked {
		return fmt.Errorf("%w: the name %s, by the operator", identity.ErrRevoked, acct.User)
	}
	account, err := accountOf(n, acct)
	if err == nil && board.DeviceRevoked(account, acct.DeviceKey.Public()) {
		return fmt.Errorf("%w: this device of %s, by its owner or the operator", identity.ErrRevoked, acct.User)
	}
	return nil
}

// announced warns of what bulletins say about the names of this adapter.
func (a *Adapter) announced() (out []string) {
	n := a.Node()
	if n == nil || n.Board().Len() == 0 {
		return nil
	}
	for _, acct := range a.allAccounts() {
		if err := a.standing(n, acct); err != nil {
			out = append(out, err.Error())
		}
		aor, err := identity.NewAOR(acct.User, n.Trust().Overlay())
		if err != nil || acct.AccountKey.IsZero() {
			continue
		}
		r, objected, from := n.Board().RecoveryOf(aor)
		if r != nil && !objected && r.Account == acct.AccountKey.Public().Digest() && a.time.Now().Before(from) {
			out = append(out, fmt.Sprintf("the operator has announced another key (%s) for your name %s, to count from %s: if you have not asked for that, object with 'secp2psip recover %s --object'",
				r.Note, acct.User, from.Local().Format(time.DateTime), acct.User))
		}
	}
	slices.SortFunc(out, strings.Compare)
	return out
}

// refuseRevoked refuses to delegate to what is revoked.
func (a *Adapter) refuseRevoked(acct *account, m *wire.Delegate) bool {
	board := a.Node().Board()
	rotations, _ := identity.ParseRotations(acct.Rotations) // which were checked when they came
	return board.DeviceEverRevoked(acct.AccountKey.Public(), rotations, m.Device) || board.NodeRevoked(m.NodeKey, a.Node().Self().Owner)
}

// revokedCaller is the answer to who calls with what is revoked.
func revokedCaller() error {
	return sipbridge.Forbidden("the caller's name or device has been revoked")
}
