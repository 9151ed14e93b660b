package node

import (
	"context"
	"errors"

	"github.com/secp2psip/secp2psip/internal/admin"
	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/identity"
)

// Accept shows how a name's key has changed and, where the request has the new
// key's fingerprint, takes that key as the name's from now on.
func (n *Node) Accept(ctx context.Context, req admin.AcceptRequest) (*admin.AcceptResult, error) {
	name, err := n.parseName(req.Name)
	if err != nil {
		return nil, err
	}
	dir := n.Directory()
	if dir == nil {
		return nil, admin.Errorf(admin.CodeUnavailable, "%v", ErrNotJoined)
	}
	changed, found := n.changed.open(name)
	if !found {
		_, err := dir.Resolve(ctx, name, directory.Options{Fresh: true, NoPin: true}) // it may be news
		if rivals, two := directory.Rivals(err); two {
			return n.acceptOneOfTwo(dir, name, rivals, req.Fingerprint)
		}
		if changed, found = n.changed.open(name); !found {
			return nil, admin.Errorf(admin.CodeNotFound, "the key of %s has not changed: there is nothing to accept", name).
				WithHint("'secp2psip lookup " + name.User() + "' shows the key")
		}
	}
	key, err := identity.ParsePublicKey(changed.New)
	if err != nil {
		return nil, err
	}
	out := &admin.AcceptResult{ChangedKey: changed}
	switch {
	case req.Fingerprint == "":
		return out, nil
	case !key.SameFingerprint(req.Fingerprint):
		return nil, wrongFingerprint(name, changed.NewFingerprint)
	}
	out.Accepted = true
	return out, n.decide(dir, name, key, changed.NewVersion)
}

func wrongFingerprint(name identity.AOR, now string) error {
	return admin.Errorf(admin.CodeRefused, "that is not the fingerprint of the key that %s has now, which is %s: nothing was accepted", name, now).
		WithHint("if the owner reads you another one, somebody stands between you: do not accept it, and tell the operator")
}

// acceptOneOfTwo decides between two keys that the issuer has signed for one
// name.
func (n *Node) acceptOneOfTwo(dir *directory.Directory, name identity.AOR, rivals []directory.Rival, fingerprint string) (*admin.AcceptResult, error) {
	out := &admin.AcceptResult{ChangedKey: admin.ChangedKey{AOR: name.String(), First: n.time.Now()}}
	for _, r := range rivals {
		if fingerprint != "" && r.Key.SameFingerprint(fingerprint) {
			out.New, out.NewFingerprint, out.NewVersion, out.Accepted = r.Key.String(), r.Key.Fingerprint(), r.Version, true
			return out, n.decide(dir, name, r.Key, r.Version)
		}
	}
	return nil, admin.Errorf(admin.CodeRefused, "the issuer has signed two keys for %s, and nobody has been called by either from here", name).
		WithHint("ask its owner for the fingerprint, then 'secp2psip accept " + name.User() + " --fingerprint …'; tell the operator")
}

func (n *Node) decide(dir *directory.Directory, name identity.AOR, key identity.PublicKey, version uint32) error {
	if err := dir.Accept(name, key, version); err != nil {
		return err
	}
	n.changed.settle(name, settledAccepted, n.time.Now())
	n.cfg.Log.Warn().Str("key", key.Fingerprint()).Msg("a changed key was accepted by a person")
	n.cfg.Log.Debug().Stringer("aor", name).Msg("whose key was accepted")
	return nil
}

// Verify returns the number by which two people compare their keys, and notes
// that they have where the request says so. own is who asks.
func (n *Node) Verify(ctx context.Context, own identity.Party, req admin.VerifyRequest) (*admin.VerifyResult, error) {
	name, err := n.parseName(req.Name)
	if err != nil {
		return nil, err
	}
	dir := n.Directory()
	if dir == nil {
		return nil, admin.Errorf(admin.CodeUnavailable, "%v", ErrNotJoined)
	}
	res, err := dir.Resolve(ctx, name, directory.Options{Fresh: true, NoPin: true})
	switch {
	case errors.Is(err, directory.ErrNotRegistered) && !res.Key.IsZero():
	case errors.Is(err, directory.ErrKeyChanged):
		return nil, admin.Errorf(admin.CodeRefused, "%v", err).WithHint("'secp2psip accept " + name.User() + "' shows the change; compare after that")
	case errors.Is(err, directory.ErrNoSuchName):
		return nil, admin.Errorf(admin.CodeNotFound, "nobody is enrolled as %s", name)
	case errors.Is(err, directory.ErrKeyConflict):
		return nil, admin.Errorf(admin.CodeRefused, "%v", err)
	case err != nil:
		return nil, admin.Errorf(admin.CodeUnavailable, "%v", err)
	}
	if res.AOR == own.AOR {
		return nil, admin.Errorf(admin.CodeBadRequest, "%s is this adapter's own name; compare with somebody else", name)
	}
	out := &admin.VerifyResult{
		AOR: res.AOR.String(), Own: own.AOR.String(), Fingerprint: res.Key.Fingerprint(), KeyVersion: res.Version,
		Number: identity.ComparisonNumber(n.cfg.Trust.Root(), own, identity.Party{AOR: res.AOR, Key: res.Key}),
	}
	if req.Number != "" && !identity.SameNumber(req.Number, out.Number) {
		return nil, admin.Errorf(admin.CodeRefused, "that is another number than the one here: the two of you do not have the same keys").
			WithHint("read it again; if it stays so, somebody stands between you: trust no call to that name, and tell the operator")
	}
	if req.Same {
		if err := dir.Compared(res.AOR, res.Key, res.Version); err != nil {
			return nil, err
		}
		n.cfg.Log.Info().Str("key", out.Fingerprint).Msg("two people have compared a key")
	}
	if pin, ok := n.cfg.Pins.Get(res.AOR); ok && pin.Key == res.Key {
		out.Compared = pin.Compared
	}
	return out, nil
}
