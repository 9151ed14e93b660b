package adapter

import (
	"context"
	"crypto/sha256"
	"maps"
	"time"

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
	invited := len(acct.Invitation) > 0 && sha256.Sum256(acct.Invitation) == m.Invitation && m.Proves(acct.Invitation)
	if renewal && !admitted || !renewal && !invited {
		return a.refuse(reasonBadDelegate, wire.CodeUnauthorized, "the new device does not hold this person's invitation")
	}
	signed, err := delegate(acct, aor, m.Device, m.Node, m.Part, a.Node().Trust(), a.clock.Now())
	if err != nil {
		a.log.Error().Err(err).Msg("a delegation cannot be signed")
		return wire.Errorf(wire.CodeInternal, "the delegation cannot be signed")
	}
	_, err = a.update(acct.User, func(acct *account) {
		acct.Admitted = maps.Clone(acct.Admitted)
		if acct.Admitted == nil {
			acct.Admitted = map[string]bool{}
		}
		acct.Admitted[m.Device.String()] = true
	})
	if err != nil {
		return wire.Errorf(wire.CodeInternal, "the admission cannot be saved")
	}
	a.log.Info().Stringer("node", m.Node).Msg("a further device of an account here was admitted")
	return &wire.Delegated{Delegation: signed}
}

// renewIfDue renews certificates, shares and delegation when the charter says
// so, over the ring link to the bootstrap server. While none can be reached,
// what there is stays valid for the charter's grace; every keepEvery tries
// again, but no more than once in renewRetry.
func (a *Adapter) renewIfDue(ctx context.Context, n *node.Node, acct *account, aor identity.AOR) {
	now := a.clock.Now()
	after := time.Duration(n.Trust().Charter().RenewAfter) * time.Second
	// Up to a tenth later, by the Node-ID, so that not everybody comes at once.
	due := acct.Renewed.Add(after + time.Duration(n.Self().ID[0])*after/2560)
	if now.Before(due) || now.Sub(a.renewTried[acct.User]) < renewRetry {
		return
	}
	a.renewTried[acct.User] = now
	if err := a.renew(ctx, n, acct, aor); err != nil {
		a.log.Warn().Err(err).Msg("certificates could not be renewed; they stay valid for the overlay's grace, trying again in an hour")
	}
}

// renewRetry is the pause between two attempts at a renewal.
const renewRetry = time.Hour

func (a *Adapter) renew(ctx context.Context, n *node.Node, acct *account, aor identity.AOR) error {
	conn, err := a.bootstrapConn(ctx, n)
	if err != nil {
		return err
	}
	exporter, err := conn.Exporter()
	if err != nil {
		return err
	}
	body := wire.RenewBody{AOR: aor.String(), Device: acct.DeviceKey.Public(), Node: n.Self().ID, Time: a.clock.Now().UnixMilli(), Exporter: exporter}
	key := acct.DeviceKey.PrivateKey
	if !acct.AccountKey.IsZero() {
		key, body.Account = acct.AccountKey.PrivateKey, acct.AccountKey.Public()
	}
	req, err := wire.SignRenew(body, key)
	if err != nil {
		return err
	}
	answer, err := conn.Call(ctx, req)
	if err != nil {
		return err
	}
	r, ok := answer.(*wire.Registered)
	if !ok {
		return link.ErrProtocol
	}
	return a.adoptRenewal(n, acct, aor, r)
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

// adoptRenewal verifies and takes over renewed certificates and shares.
func (a *Adapter) adoptRenewal(n *node.Node, acct *account, aor identity.AOR, r *wire.Registered) error {
	now := a.clock.Now()
	chain := [][]byte{r.Node, r.Issuer}
	cert, err := n.Trust().VerifyNode(chain, now)
	if err != nil {
		return err
	}
	if cert.ID != n.Self().ID {
		return link.ErrWrongNode
	}
	fresh := *acct
	if err := a.fillAccount(n.Trust(), aor, &fresh, cert.ID, r, now); err != nil {
		return err
	}
	if err := n.Link().SetIdentity(chain); err != nil {
		return err
	}
	_, err = a.update(acct.User, func(now *account) {
		fresh.Seq, fresh.Admitted = now.Seq, now.Admitted
		*now = fresh
	})
	if err != nil {
		return err
	}
	a.mu.Lock()
	a.member.Chain = chain
	m := *a.member
	m.Invited = maps.Clone(m.Invited)
	if p := a.published[acct.User]; p != nil {
		p.shares = time.Time{} // the renewed shares go to the ring at once
		p.at = time.Time{}
	}
	a.mu.Unlock()
	a.log.Info().Time("until", cert.NotAfter).Msg("certificates renewed")
	return a.state.put(bucketMeta, metaMember, m)
}
