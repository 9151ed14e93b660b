package adapter

import (
	"context"
	"crypto/sha256"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/node"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// serveDelegate admits a further device of a person whose account key lies
// here, when the bootstrap server asks and the newcomer has proved that it
// holds the invitation that this device was admitted with. A renewal needs no
// proof, but must be for a device that was admitted before.
func (a *Adapter) serveDelegate(from *link.Conn, m *wire.Delegate) wire.Message {
	aor, err := identity.ParseAOR(m.AOR)
	if err != nil || !from.Bootstrap() {
		return a.refuse(reasonBadDelegate, wire.CodeForbidden, "only the bootstrap server asks for delegations")
	}
	acct := a.account(aor)
	if acct == nil || acct.AccountKey.IsZero() {
		return a.refuse(reasonBadDelegate, wire.CodeNotFound, "the account key of this name is not here")
	}
	renewal := m.MAC == [32]byte{}
	admitted := acct.Admitted[m.Device.String()]
	if renewal && !admitted || !renewal && !acct.invited(m) {
		return a.refuse(reasonBadDelegate, wire.CodeUnauthorized, "the new device does not hold this person's invitation")
	}
	if a.refuseRevoked(acct, m) {
		return a.refuse(reasonBadDelegate, wire.CodeForbidden, "this device has been revoked")
	}
	if !admitted && len(acct.Admitted) >= maxAdmitted {
		return a.refuse(reasonBadDelegate, wire.CodeForbidden, "this account key has admitted as many devices as it may")
	}
	signed, err := delegate(acct, aor, m.Device, m.Node, m.Part, a.Node().Trust(), a.time.Now())
	if err != nil {
		a.log.Error().Err(err).Msg("a delegation cannot be signed")
		return wire.Errorf(wire.CodeInternal, "the delegation cannot be signed")
	}
	if admitted {
		return &wire.Delegated{Delegation: signed}
	}
	_, err = a.update(acct.User, func(acct *account) {
		acct.Admitted = maps.Clone(acct.Admitted)
		if acct.Admitted == nil {
			acct.Admitted = map[string]bool{}
		}
		acct.Admitted[m.Device.String()] = true
		acct.Devices = append(slices.Clone(acct.Devices), admittedDevice{m.Device, m.Node, m.NodeKey, m.Part, a.time.Now()})
		acct.Devices = acct.Devices[max(0, len(acct.Devices)-maxAdmitted):]
	})
	if err != nil {
		a.log.Error().Err(err).Msg("a further device cannot be admitted")
		return wire.Errorf(wire.CodeInternal, "the admission cannot be saved")
	}
	a.log.Info().Stringer("node", m.Node).Msg("a further device of an account here was admitted")
	return &wire.Delegated{Delegation: signed}
}

// maxAdmitted bounds the device keys that one account key delegates to; a
// charter allows no more devices.
const maxAdmitted = 64

// invited tells whether the newcomer holds an invitation that this device was
// given, too.
func (a *account) invited(m *wire.Delegate) bool {
	for _, secret := range a.Invitations {
		if sha256.Sum256(secret) == m.Invitation && m.Proves(secret) {
			return true
		}
	}
	return false
}

// renewIfDue renews certificates, shares and delegation when the charter says
// so, over the ring link to the bootstrap server. While none can be reached,
// what there is stays valid for the charter's grace; every keepEvery tries
// again, but no more than once in renewRetry.
func (a *Adapter) renewIfDue(ctx context.Context, n *node.Node, acct *account, aor identity.AOR) {
	after := time.Duration(n.Trust().Charter().RenewAfter) * time.Second
	// Up to a tenth later, by the Node-ID, so that not everybody comes at once.
	due := acct.Renewed.Add(after + after/2560*time.Duration(n.ID()[0]))
	a.mu.Lock()
	behind := a.publication(acct.User).behind && acct.AccountKey.IsZero()
	a.mu.Unlock()
	retry := renewRetry
	if behind { // the first device has a new account key
		due, retry = time.Time{}, behindRetry
	}
	tried, before := a.renewTried[acct.User]
	if a.time.Now().Before(due) || before && time.Since(tried) < retry {
		return
	}
	a.renewTried[acct.User] = time.Now()
	if err := a.renew(ctx, n, acct, aor); err != nil && !a.isLeaving() {
		a.log.Warn().Err(err).Msg("certificates could not be renewed; they stay valid for the overlay's grace, trying again in an hour: is the bootstrap server up?")
	}
}

// renewRetry is the pause between two attempts at a renewal, behindRetry that of
// a device whose account has got another key.
const (
	renewRetry  = time.Hour
	behindRetry = time.Minute
)

func (a *Adapter) renew(ctx context.Context, n *node.Node, acct *account, aor identity.AOR) error {
	conn, err := a.bootstrapConn(ctx, n)
	if err != nil {
		return err
	}
	exporter, err := conn.Exporter()
	if err != nil {
		return err
	}
	body := wire.RenewBody{AOR: aor.String(), Device: acct.DeviceKey.Public(), Node: n.Self().ID, Time: a.time.Now().UnixMilli(), Exporter: exporter}
	key := acct.DeviceKey.PrivateKey
	if !acct.AccountKey.IsZero() {
		key, body.Account = acct.AccountKey.PrivateKey, acct.AccountKey.Public()
	}
	req, err := wire.SignRenew(body, key)
	if err != nil {
		return err
	}
	answer, err := conn.Call(ctx, req)
	if remote, ok := errors.AsType[*link.RemoteError](err); ok && remote.Code == wire.CodeUnauthorized && len(acct.Rotations) > 0 {
		return a.remind(ctx, n, acct, aor) // the server may have been restored from a backup
	}
	if err != nil {
		return err
	}
	r, ok := answer.(*wire.Registered)
	if !ok {
		return link.ErrProtocol
	}
	return a.adoptRenewal(n, acct, aor, r, nil)
}

// bootstrapConn connects to a bootstrap server as a member.
func (a *Adapter) bootstrapConn(ctx context.Context, n *node.Node) (*link.Conn, error) {
	var last error = link.ErrUnreachable
	for _, addr := range n.SeedAddrs(ctx) {
		conn, err := n.Link().ConnectAny(ctx, addr)
		if err == nil && conn.Bootstrap() {
			return conn, nil
		}
		if err == nil {
			err = link.ErrNotBootstrap
		}
		last = err
	}
	return nil, last
}

// adoptRenewal verifies and takes over renewed certificates and shares; change,
// which may be nil, is made to the account before.
func (a *Adapter) adoptRenewal(n *node.Node, acct *account, aor identity.AOR, r *wire.Registered, change func(*account)) error {
	if err := n.TakeCharter(r.Charter); err != nil { // a server with an older one may renew all the same
		a.log.Warn().Err(err).Msg("the charter that came with the renewal is not taken over")
	}
	now := a.time.Now()
	chain := [][]byte{r.Node, r.Issuer}
	cert, err := n.Trust().VerifyNode(chain, now)
	if err != nil {
		return err
	}
	if cert.ID != n.ID() {
		return link.ErrWrongNode
	}
	a.saving.Lock()
	defer a.saving.Unlock()
	if current := a.account(aor); current != nil {
		acct = current
	}
	fresh := *acct
	if change != nil {
		change(&fresh)
	}
	if err := a.fillAccount(n.Trust(), aor, &fresh, cert.ID, r, now); err != nil {
		return err
	}
	if err := n.SetIdentity(chain); err != nil {
		return err
	}
	m := *a.membership()
	m.Chain = chain
	if err := a.keepLocked(&fresh, &m); err != nil {
		return err
	}
	a.mu.Lock()
	p := a.publication(acct.User)
	p.repair, p.since = directory.Schedule{}, time.Time{} // all of it goes to the ring at once
	a.mu.Unlock()
	select {
	case a.owed <- struct{}{}:
	default:
	}
	a.log.Info().Time("until", cert.NotAfter).Msg("certificates renewed")
	return nil
}
