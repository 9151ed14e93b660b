package adapter

import (
	"time"

	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/node"
)

// The other side of a call may have changed keys since we looked it up, or we
// may have looked it up before the change has reached all of its devices. What
// it shows with the call says so itself.

// delegationOf verifies a delegation by the key that a name was resolved to, by
// one that follows it, or by one that it has followed and that has not ended, as
// the certificate in chain says.
func (a *Adapter) delegationOf(n *node.Node, res *directory.Resolution, signed identity.SignedDelegation, chain [][]byte) (identity.Delegation, error) {
	now, trust := a.time.Now(), n.Trust()
	d, err := trust.VerifyDelegation(signed, res.Key, now)
	if err == nil {
		return d, nil
	}
	cert, failed := trust.VerifyAccount(chain, now)
	if failed != nil || cert.AOR != res.AOR || cert.Key == res.Key {
		return d, err
	}
	if cert.Follows(res.Key) {
		n.Directory().Invalidate(res.AOR)
		return trust.VerifyDelegation(signed, cert.Key, now)
	}
	if res.Account == nil {
		return d, err
	}
	// A device learns at its next refresh that its account has another key.
	slack := time.Duration(trust.Charter().RegistrationLifetime) * time.Second
	if r, _ := res.Account.Before(cert.Key.Digest()); r != nil && !now.After(r.Until().Add(slack)) {
		return trust.VerifyDelegation(signed, cert.Key, now)
	}
	return d, err
}

// answering returns the key with which a device of the callee's answers: the
// registered one, or a later one to which the callee has delegated since.
func (a *Adapter) answering(n *node.Node, res *directory.Resolution, dev directory.Device, signed identity.SignedDelegation, chain [][]byte) identity.PublicKey {
	d, err := a.delegationOf(n, res, signed, chain)
	if err != nil || d.AOR != res.AOR.String() || d.Node != dev.Node || d.Part != dev.Part || d.Issued <= dev.Delegation.Issued {
		return dev.Key
	}
	return d.Device
}
