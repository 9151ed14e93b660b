package bootstrap

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"github.com/secp2psip/secp2psip/internal/admin"
	"github.com/secp2psip/secp2psip/internal/identity"
)

// What the operator does about people and invitations, on the admin socket.

func (s *Server) admission() admin.Handlers {
	return admin.Handlers{
		admin.MethodDevices:     admin.Handle(s.listDevices),
		admin.MethodRevoke:      admin.Handle(s.revoke),
		admin.MethodRecover:     admin.Handle(s.recoverName),
		admin.MethodUninvite:    admin.Handle(s.uninvite),
		admin.MethodBulletins:   func(context.Context, json.RawMessage) (any, error) { return s.node.Bulletins(s.namesByTag()), nil },
		admin.MethodInvitations: func(context.Context, json.RawMessage) (any, error) { return s.invitations() },
	}
}

// adminError is what an operator is told.
func adminError(err error) error {
	switch {
	case errors.Is(err, identity.ErrMalformed):
		return admin.Errorf(admin.CodeBadRequest, "%v", err)
	case errors.Is(err, ErrNotEnrolled), errors.Is(err, ErrNoDevice), errors.Is(err, ErrNoProof):
		return admin.Errorf(admin.CodeNotFound, "%v", err)
	}
	return admin.Errorf(admin.CodeRefused, "%v", err)
}

func (s *Server) listDevices(_ context.Context, req admin.DevicesRequest) (*admin.Devices, error) {
	if req.User == "" {
		return nil, admin.Errorf(admin.CodeBadRequest, "say whose devices: secp2psip devices NAME; 'secp2psip people' lists the names")
	}
	_, p, err := s.personOf(req.User)
	if err != nil {
		return nil, adminError(err)
	}
	out := &admin.Devices{Devices: []admin.PersonDevice{}}
	for _, d := range devicesOf(p) {
		out.Devices = append(out.Devices, admin.PersonDevice{
			User: p.User, Number: d.Slot, Fingerprint: d.Device.Fingerprint(), Node: d.Node.String(), Admitted: d.Admitted,
			Account: d.Slot == 0, Revoked: !p.Revoked.IsZero(),
		})
	}
	return out, nil
}

func (s *Server) revoke(_ context.Context, req admin.RevokeRequest) (*admin.RevokeResult, error) {
	if req.Evidence != "" {
		return s.revokeProven(req)
	}
	p := RevokeParams{User: req.User, Device: NoDevice, Note: req.Note}
	if req.Device != nil {
		p.Device = *req.Device
	}
	done, err := s.Revoke(p)
	if err != nil {
		return nil, adminError(err)
	}
	aor, err := identity.NewAOR(req.User, s.Overlay())
	if err != nil {
		return nil, adminError(err)
	}
	return revoked(aor.String(), done), nil
}

func (s *Server) revokeProven(req admin.RevokeRequest) (*admin.RevokeResult, error) {
	if req.User != "" || req.Device != nil {
		return nil, admin.Errorf(admin.CodeBadRequest, "the evidence says whose node it is: leave the name and the device away")
	}
	done, names, err := s.RevokeProven(req.Evidence, req.Note)
	if err != nil {
		return nil, adminError(err)
	}
	for i, user := range names {
		if aor, err := identity.NewAOR(user, s.Overlay()); err == nil {
			names[i] = aor.String()
		}
	}
	return revoked(strings.Join(names, ", "), done), nil
}

func revoked(whom string, done Revocation) *admin.RevokeResult {
	out := &admin.RevokeResult{AOR: whom, Nodes: done.Nodes, Shared: done.Shared}
	if done.First {
		out.Warn = "this was the name's first device, which may hold the account key: who has it can admit others, so revoke the whole name if it is in wrong hands"
	}
	return out
}

func (s *Server) recoverName(_ context.Context, req admin.RecoverRequest) (*admin.InviteResult, error) {
	secret, expires, err := s.Recover(req.User, time.Duration(req.ExpiresSeconds)*time.Second)
	if err != nil {
		return nil, adminError(err)
	}
	aor, err := identity.NewAOR(req.User, s.Overlay())
	if err != nil {
		return nil, adminError(err)
	}
	link := s.JoinLink()
	link.User, link.Secret = aor.User(), secret
	return &admin.InviteResult{Link: link.String(), AOR: aor.String(), Devices: 1, Expires: expires}, nil
}

// namesByTag lets bulletins be shown with the names that are enrolled here.
func (s *Server) namesByTag() func(identity.NodeID) string {
	names := map[identity.NodeID]string{}
	_ = s.people(func(p person) {
		if aor, err := identity.NewAOR(p.User, s.Overlay()); err == nil {
			names[identity.NameTag(aor)] = aor.String()
		}
	})
	return func(tag identity.NodeID) string { return names[tag] }
}

// invitations lists those that could be used yet, the newest last.
func (s *Server) invitations() (*admin.Invitations, error) {
	now := s.time.Now()
	out := &admin.Invitations{Invitations: []admin.Invitation{}}
	err := s.db.View(func(tx *bbolt.Tx) error {
		return eachInvitation(tx, func(key []byte, inv *invitation) {
			if inv.open(now) {
				out.Invitations = append(out.Invitations, admin.Invitation{
					ID: invitationID(key), User: inv.User, Number: inv.Number, Devices: inv.Devices, Used: len(inv.Used),
					Made: inv.Made, Expires: inv.Expires, Recover: inv.Recover,
				})
			}
		})
	})
	slices.SortFunc(out.Invitations, func(a, b admin.Invitation) int { return a.Made.Compare(b.Made) })
	return out, err
}

// invitationID names an invitation to people: the beginning of its secret's hash.
func invitationID(key []byte) string { return hex.EncodeToString(key[:min(len(key), 6)]) }

// Uninvite withdraws the invitation with that ID, or all of that name, and
// returns how many could have been used yet. Devices that were admitted stay.
func (s *Server) Uninvite(what string) (n int, err error) {
	user, err := identity.NormalizeUser(what)
	if err != nil {
		return 0, err
	}
	err = s.write(func(tx *bbolt.Tx) error {
		if n, err = dropInvitations(tx, func(i *invitation) bool { return i.User == user }); err != nil || n > 0 {
			return err
		}
		n, err = dropInvitation(tx, strings.ToLower(what))
		return err
	})
	return n, err
}

// dropInvitation deletes the one of that ID.
func dropInvitation(tx *bbolt.Tx, id string) (n int, err error) {
	var at []byte
	err = eachInvitation(tx, func(key []byte, _ *invitation) {
		if invitationID(key) == id {
			at = bytes.Clone(key)
		}
	})
	if err != nil || at == nil {
		return 0, err
	}
	return 1, tx.Bucket(bucketInvitations).Delete(at)
}

func (s *Server) uninvite(_ context.Context, req admin.UninviteRequest) (*admin.UninviteResult, error) {
	n, err := s.Uninvite(req.What)
	if err != nil {
		return nil, adminError(err)
	}
	if n == 0 {
		return nil, admin.Errorf(admin.CodeNotFound, "there is no open invitation for %q; 'secp2psip invitations' lists them", req.What)
	}
	return &admin.UninviteResult{Withdrawn: n}, nil
}
