package bootstrap

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"go.etcd.io/bbolt"

	"github.com/secp2psip/secp2psip/internal/admin"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/joinlink"
)

// Handlers answer on the admin socket.
func (s *Server) Handlers() admin.Handlers {
	all := admin.Handlers{
		admin.MethodStatus:   func(context.Context, json.RawMessage) (any, error) { return s.Status(), nil },
		admin.MethodLookup:   admin.Handle(s.node.Lookup),
		admin.MethodEvidence: admin.Handle(s.evidence),
		admin.MethodDoctor: func(ctx context.Context, _ json.RawMessage) (any, error) {
			return admin.DoctorReport{Checks: s.checks(ctx)}, nil
		},
		admin.MethodInvite: admin.Handle(s.invite),
		admin.MethodPeople: func(context.Context, json.RawMessage) (any, error) { return s.list() },
		admin.MethodBackup: func(context.Context, json.RawMessage) (any, error) { return admin.Stream(s.Backup), nil },
		admin.MethodRoot:   admin.Handle(s.rootKey),

		admin.MethodCharter: admin.Handle(s.charter),
	}
	maps.Copy(all, s.admission())
	return all
}

// Status is the state of the server for people and scripts.
func (s *Server) Status() *admin.Status {
	st := &admin.Status{
		Kind: admin.KindBootstrap, Version: s.cfg.Version, State: s.cfg.State, KeysSealed: s.file.Box != nil, Started: s.started,
		UptimeSeconds: time.Since(s.started).Seconds(), Refusals: s.refusals.Counts(), Links: []admin.Link{},
		Enrolment: &admin.Enrolment{
			Mode: "invite", Names: s.countNames(), MaxNames: s.cfg.MaxNames, Invitations: s.countInvitations(),
			RootOffline: s.overlay.offline(), IssuerExpires: s.overlay.issuer.Load().NotAfter(),
		},
	}
	if s.cfg.Open {
		st.Enrolment.Mode = "open"
	}
	s.node.FillStatus(st)
	return st
}

// evidence is the node's, with the names of the nodes' owners: the operator
// revokes people.
func (s *Server) evidence(ctx context.Context, req admin.EvidenceRequest) (*admin.EvidenceResult, error) {
	out, err := s.node.Evidence(ctx, req)
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	err = s.people(func(p person) { names[p.Owner.String()] = p.User })
	for i := range out.Items {
		if it := &out.Items[i]; it.Name == "" {
			it.Name = names[it.Owner]
		}
	}
	return out, err
}

func (s *Server) countInvitations() (n int) {
	now := s.time.Now()
	_ = s.db.View(func(tx *bbolt.Tx) error {
		return eachInvitation(tx, func(_ []byte, inv *invitation) {
			if inv.open(now) {
				n++
			}
		})
	})
	return n
}

func (s *Server) checks(ctx context.Context) []admin.Check {
	checks := s.node.Checks(ctx)
	ends := s.overlay.issuer.Load().NotAfter()
	issuer := admin.Check{Name: "issuing key", Result: admin.CheckOK, Detail: "valid until " + ends.Format(time.DateOnly)}
	if r, err := s.pendingRevocation(); err == nil && r != nil {
		issuer.Detail += "; the one before it is revoked at " + r.At.Local().Format(time.DateTime)
	}
	if n := s.countOutdated(); n > 0 {
		issuer.Result, issuer.Detail = admin.CheckWarn, fmt.Sprintf("%s; the records of %d names are of the one before", issuer.Detail, n)
		issuer.Mend = "nothing has to be done: this server deals them anew"
	}
	if ends.Sub(s.time.Now()) < issuerWarnBefore {
		issuer.Result, issuer.Mend = admin.CheckWarn, "renew it with the root key: secp2psip root renew FILE"
	}
	return append(checks, issuer)
}

// invite makes an invitation and the join link that carries it.
func (s *Server) invite(_ context.Context, req admin.InviteRequest) (*admin.InviteResult, error) {
	secret, expires, err := s.Invite(InviteParams{
		User: req.User, Number: req.Number, Devices: req.Devices, Expires: time.Duration(req.ExpiresSeconds) * time.Second,
	})
	if errors.Is(err, identity.ErrMalformed) {
		return nil, admin.Errorf(admin.CodeBadRequest, "%v", err)
	}
	if err != nil {
		return nil, admin.Errorf(admin.CodeRefused, "%v", err)
	}
	aor, err := identity.NewAOR(req.User, s.Overlay())
	if err != nil {
		return nil, admin.Errorf(admin.CodeBadRequest, "%v", err)
	}
	link := s.JoinLink()
	link.User, link.Secret = aor.User(), secret
	return &admin.InviteResult{Link: link.String(), AOR: aor.String(), Number: req.Number, Devices: max(req.Devices, 1), Expires: expires}, nil
}

// JoinLink is the way to this overlay without an invitation.
func (s *Server) JoinLink() joinlink.Link {
	addrs := append([]string(nil), s.cfg.JoinAddrs...)
	if len(addrs) == 0 {
		for _, a := range s.node.Self().Addrs {
			addrs = append(addrs, a.String())
		}
	}
	return joinlink.Link{Addrs: addrs[:min(len(addrs), joinlink.MaxAddrs)], Overlay: s.Overlay(), Root: s.Fingerprint()}
}

// list is everybody enrolled.
func (s *Server) list() (*admin.People, error) {
	out := &admin.People{People: []admin.Person{}}
	charter := s.trust.Charter()
	err := s.people(func(p person) {
		aor, err := identity.NewAOR(p.User, charter.Overlay)
		if err != nil {
			return
		}
		out.People = append(out.People, admin.Person{
			AOR: aor.String(), Number: p.Number, Fingerprint: p.Account.Fingerprint(), KeyVersion: p.Version, Devices: len(p.Devices),
			Enrolled: p.Enrolled, Revoked: p.Revoked, CertificateExpires: p.Renewed.Add(seconds(charter.CertificateLifetime)),
		})
	})
	return out, err
}
