package adapter

import (
	"context"
	"slices"
	"strings"

	"github.com/secp2psip/secp2psip/internal/admin"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/node"
)

// What a person at this adapter decides about other people's keys.

// enrolledNode returns the node, or what to do where there is none yet.
func (a *Adapter) enrolledNode() (*node.Node, error) {
	if n := a.Node(); n != nil {
		return n, nil
	}
	return nil, admin.Errorf(admin.CodeUnavailable, "this adapter is not enrolled yet").
		WithHint("register a phone as " + a.expected() + " first")
}

func (a *Adapter) acceptKey(ctx context.Context, req admin.AcceptRequest) (*admin.AcceptResult, error) {
	n, err := a.enrolledNode()
	if err != nil {
		return nil, err
	}
	return n.Accept(ctx, req)
}

func (a *Adapter) verifyKey(ctx context.Context, req admin.VerifyRequest) (*admin.VerifyResult, error) {
	n, err := a.enrolledNode()
	if err != nil {
		return nil, err
	}
	own, err := a.chosenAccount(req.As)
	if err != nil {
		return nil, err
	}
	aor, key, err := a.accountKey(n, own)
	if err != nil {
		return nil, err
	}
	return n.Verify(ctx, identity.Party{AOR: aor, Key: key}, req)
}

// chosenAccount returns the account of a user part; the only one, if none is
// named.
func (a *Adapter) chosenAccount(user string) (*account, error) {
	all := a.allAccounts()
	var names []string
	for _, acct := range all {
		if acct.User == user || user == "" && len(all) == 1 {
			return acct, nil
		}
		names = append(names, acct.User)
	}
	slices.Sort(names)
	if user == "" {
		return nil, admin.Errorf(admin.CodeBadRequest, "this adapter serves %s: say which one", strings.Join(names, ", ")).WithHint("with --as NAME")
	}
	return nil, admin.Errorf(admin.CodeNotFound, "this adapter does not serve %q, but %s", user, strings.Join(names, ", "))
}

// accountKey returns name and account key of one of our accounts; a device that
// another one admitted knows the key from its certificate.
func (a *Adapter) accountKey(n *node.Node, acct *account) (identity.AOR, identity.PublicKey, error) {
	aor, err := identity.NewAOR(acct.User, n.Trust().Overlay())
	if err != nil {
		return aor, identity.PublicKey{}, err
	}
	cert, err := n.Trust().VerifyAccount(acct.Chain, a.time.Now())
	if err != nil {
		return aor, identity.PublicKey{}, err
	}
	return aor, cert.Key, nil
}
