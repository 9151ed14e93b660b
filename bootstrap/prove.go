package bootstrap

import (
	"errors"
	"fmt"

	"github.com/secp2psip/secp2psip/internal/identity"
)

// RevokeProven withdraws a node that the evidence of this name convicts: its
// key, and the devices of all names that are at it. The proof is checked once
// more, since what an operator signs on it stands for months. It returns the
// names, too. The error wraps ErrNoProof, ErrOwnProof, ErrRevokedNode or
// ErrNotEnrolled.
func (s *Server) RevokeProven(id, note string) (Revocation, []string, error) {
	var out Revocation
	culprit, err := s.node.Convicted(id)
	switch {
	case errors.Is(err, identity.ErrRevoked):
		return out, nil, ErrRevokedNode
	case err != nil:
		return out, nil, fmt.Errorf("%w: %w", ErrNoProof, err)
	case culprit == identity.NodeID{}, culprit == s.node.ID():
		return out, nil, ErrOwnProof
	}
	type place struct {
		person
		device
	}
	var places []place
	err = s.people(func(p person) {
		for _, d := range p.Devices {
			if d.Node == culprit && !d.Pending && p.Revoked.IsZero() {
				places = append(places, place{p, d})
			}
		}
	})
	if err != nil {
		return out, nil, err
	}
	if len(places) == 0 {
		return out, nil, fmt.Errorf("%w that the node %s belongs to", ErrNotEnrolled, culprit.Short())
	}
	now := s.time.Now()
	base := identity.Bulletin{Issued: now.UnixMilli(), Until: s.bulletinUntil(now), Note: note}
	var all []identity.Bulletin
	nodes := map[identity.PublicKey]bool{}
	for _, at := range places {
		b := base
		b.Kind, b.Subject, b.Account = identity.RevokeDevice, at.Device.Digest(), identity.KeyDigest(at.person.Account.Digest())
		all = append(all, b)
		if !nodes[at.NodeKey] {
			nodes[at.NodeKey] = true
			b := base
			b.Kind, b.Subject = identity.RevokeNode, at.NodeKey.Digest()
			all = append(all, b)
		}
		out.First = out.First || at.Slot == 0
	}
	out.Nodes = len(nodes)
	if err := s.post(all...); err != nil {
		return out, nil, err
	}
	var names []string
	for _, at := range places {
		names = append(names, at.User)
		if err := s.withdrawn(at.User, at.Slot, nil, now); err != nil {
			return out, names, err
		}
	}
	return out, names, nil
}
