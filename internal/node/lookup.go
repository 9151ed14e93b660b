package node

import (
	"context"
	"errors"

	"github.com/secp2psip/secp2psip/internal/admin"
	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/identity"
)

// Owner is the tag of this node's owner, as its certificate has it.
func (n *Node) Owner() identity.OwnerTag { return n.owner }

// Lookup resolves a name and reports the evidence, whatever came out. Looking
// is no reason to believe: it pins no key.
func (n *Node) Lookup(ctx context.Context, req admin.LookupRequest) (*admin.LookupResult, error) {
	name, tag, err := identity.ParseDialled(req.Name, n.cfg.Trust.Overlay())
	if err != nil {
		return nil, admin.Errorf(admin.CodeBadRequest, "%v", err)
	}
	if _, err := n.parseName(name.String()); err != nil {
		return nil, err
	}
	dir := n.Directory()
	if dir == nil {
		out := emptyLookup(req.Name, admin.OutcomeRingDown)
		out.Message = ErrNotJoined.Error()
		return out, nil
	}
	res, err := dir.Resolve(ctx, name, directory.Options{Fresh: req.Fresh, NoPin: true, Key: tag})
	out := emptyLookup(req.Name, outcome(err))
	if err != nil {
		out.Message = err.Error()
	}
	if res != nil {
		n.fillLookup(out, res)
	}
	return out, nil
}

// parseName reads "bob", "bob@lan.example" or "sip:bob@lan.example".
func (n *Node) parseName(text string) (identity.AOR, error) {
	name, err := identity.ParseAOR(text)
	if err != nil {
		if name, err = identity.NewAOR(text, n.cfg.Trust.Overlay()); err != nil {
			return name, admin.Errorf(admin.CodeBadRequest, "%v", err)
		}
	}
	if name.Overlay() != n.cfg.Trust.Overlay() {
		return name, admin.Errorf(admin.CodeBadRequest, "%s is another overlay; this is %s", name.Overlay(), n.cfg.Trust.Overlay())
	}
	return name, nil
}

// emptyLookup has lists, so that scripts find no null.
func emptyLookup(asked, outcome string) *admin.LookupResult {
	return &admin.LookupResult{
		Asked: asked, Outcome: outcome, Devices: []admin.Device{},
		Evidence: admin.Evidence{Positions: []admin.Position{}, SharesUsed: []int{}},
	}
}

func (n *Node) fillLookup(out *admin.LookupResult, res *directory.Resolution) {
	out.AOR, out.Cached = res.AOR.String(), res.Cached
	if !res.Alias.IsZero() {
		out.Number = res.Alias.User()
	}
	if !res.Key.IsZero() {
		out.Key, out.Fingerprint, out.KeyVersion = res.Key.String(), res.Key.Fingerprint(), res.Version
		out.URI, out.Dial = identity.KeyedURI(res.AOR, res.Key), identity.KeyedDial(res.AOR.User(), res.Key)
		if out.Number != "" {
			out.Dial = identity.KeyedDial(out.Number, res.Key)
		}
	}
	if n.cfg.Pins != nil {
		if pin, ok := n.cfg.Pins.Get(res.AOR); ok {
			out.Pinned, out.Compared, out.ComparedKey = pin.First, pin.Compared, pin.ComparedVersion
		}
	}
	for _, d := range res.Devices {
		out.Devices = append(out.Devices, admin.Device{
			Part: d.Part, Node: d.Node, Addrs: texts(d.Addrs), Fingerprint: d.Key.Fingerprint(), Expires: d.Expires, Features: d.Features,
		})
	}
	ev := &res.Evidence
	e := &out.Evidence
	e.K, e.N, e.DistinctOwners, e.SmallRing, e.ElapsedMS = ev.K, ev.N, ev.DistinctOwners, ev.SmallRing, ev.ElapsedMS
	for _, a := range ev.Asked {
		p := admin.Position{Kind: a.Kind, Index: a.Replica, At: a.Position, Outcome: a.Outcome, RTTMS: a.RTTMS}
		if a.Holder != nil {
			p.Holder, p.Owner = a.Holder.Node, a.Holder.Owner.String()
		}
		e.Positions = append(e.Positions, p)
	}
	for _, s := range ev.Shares {
		e.SharesUsed = append(e.SharesUsed, int(s.X))
	}
	for _, b := range ev.Bad {
		e.BadShares = append(e.BadShares, admin.BadShare{X: int(b.X), Holder: b.Holder.Node, Reason: b.Kind + ": " + b.Reason})
	}
}

// outcome is the admin word for what a resolution ended with.
func outcome(err error) string {
	if err == nil {
		return admin.OutcomeVerified
	}
	for _, o := range []struct {
		err  error
		word string
	}{
		{directory.ErrNoSuchName, admin.OutcomeNotFound},
		{directory.ErrNotRegistered, admin.OutcomeNotRegistered},
		{directory.ErrKeyChanged, admin.OutcomeKeyChanged},
		{directory.ErrRevoked, admin.OutcomeRevoked},
		{directory.ErrOtherKey, admin.OutcomeOtherKey},
		{directory.ErrKeyConflict, admin.OutcomeKeyConflict},
		{directory.ErrNotEnoughShares, admin.OutcomeTooFewShares},
		{directory.ErrRingDown, admin.OutcomeRingDown},
	} {
		if errors.Is(err, o.err) {
			return o.word
		}
	}
	return admin.OutcomeTimeout
}
