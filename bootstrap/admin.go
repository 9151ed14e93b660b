package bootstrap

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"github.com/secp2psip/secp2psip/internal/admin"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/joinlink"
)

// Handlers answer on the admin socket.
func (s *Server) Handlers() admin.Handlers {
	return admin.Handlers{
		admin.MethodStatus: func(context.Context, json.RawMessage) (any, error) { return s.Status(), nil },
		admin.MethodLookup: admin.Handle(s.node.Lookup),
		admin.MethodDoctor: func(context.Context, json.RawMessage) (any, error) {
			return admin.DoctorReport{Checks: s.checks()}, nil
		},
		admin.MethodInvite: admin.Handle(s.invite),
		admin.MethodPeople: func(context.Context, json.RawMessage) (any, error) { return s.list() },
		admin.MethodBackup: func(context.Context, json.RawMessage) (any, error) { return admin.Stream(s.Backup), nil },
		admin.MethodRoot:   admin.Handle(s.rootKey),
	}
}

// Status is the state of the server for people and scripts.
func (s *Server) Status() *admin.Status {
	st := &admin.Status{
		Kind: admin.KindBootstrap, Version: s.cfg.Version, State: s.cfg.State, Started: s.started,
		UptimeSeconds: time.Since(s.started).Seconds(), Refusals: s.refusals.Counts(), Links: []admin.Link{},
		Enrolment: &admin.Enrolment{
			Mode: "invite", Names: s.countNames(), MaxNames: s.cfg.MaxNames, Invitations: s.countInvitations(),
			RootOffline: s.overlay.root == nil, IssuerExpires: s.overlay.issuer.NotAfter(),
		},
	}
	if s.cfg.Open {
		st.Enrolment.Mode = "open"
	}
	s.node.FillStatus(st)
	return st
}

func (s *Server) countInvitations() (n int) {
	now := s.cfg.Clock.Now()
	_ = s.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketInvitations).ForEach(func(_, v []byte) error {
			var inv invitation
			if json.Unmarshal(v, &inv) == nil && len(inv.Used) < inv.Devices && now.Before(inv.Expires) {
				n++
			}
			return nil
		})
	})
	return n
}

func (s *Server) checks() []admin.Check {
	checks := s.node.Checks()
	issuer := admin.Check{Name: "issuing key", Result: admin.CheckOK, Detail: fmt.Sprintf("valid until %s", s.overlay.issuer.NotAfter().Format(time.DateOnly))}
	if s.overlay.issuer.NotAfter().Sub(s.cfg.Clock.Now()) < issuerRenewBefore/3 {
		issuer.Result, issuer.Mend = admin.CheckWarn, "renew it with the root key: secp2psip root renew FILE"
	}
	return append(checks, issuer)
}

// invite makes an invitation and the join link that carries it.
func (s *Server) invite(_ context.Context, req admin.InviteRequest) (*admin.InviteResult, error) {
	secret, expires, err := s.Invite(InviteParams{
		User: req.User, Number: req.Number, Devices: req.Devices, Expires: time.Duration(req.ExpiresSeconds) * time.Second,
	})
	if err != nil {
		return nil, admin.Errorf(admin.CodeRefused, "%v", err)
	}
	user, err := identity.NormalizeUser(req.User)
	if err != nil {
		return nil, admin.Errorf(admin.CodeBadRequest, "%v", err)
	}
	aor, err := identity.NewAOR(user, s.Overlay())
	if err != nil {
		return nil, admin.Errorf(admin.CodeBadRequest, "%v", err)
	}
	link := s.JoinLink()
	link.User, link.Secret = user, secret
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
			Enrolled: p.Enrolled, CertificateExpires: p.Renewed.Add(seconds(charter.CertificateLifetime)),
		})
	})
	return out, err
}

// Backup writes a consistent copy of the state file, keys included.
func (s *Server) Backup(w io.Writer) error {
	return s.db.View(func(tx *bbolt.Tx) error {
		_, err := tx.WriteTo(w)
		return err
	})
}

// rootKey exports the root key, forgets it once the caller has proved to have
// it, or uses an exported one to renew the issuing certificate.
func (s *Server) rootKey(_ context.Context, req admin.RootRequest) (*admin.RootResult, error) {
	s.rootMu.Lock()
	defer s.rootMu.Unlock()
	res := &admin.RootResult{Fingerprint: hex.EncodeToString(s.rootFingerprint())}
	var err error
	switch {
	case len(req.Use) > 0:
		err = s.useRoot(req.Use)
	case s.overlay.root == nil:
		return nil, admin.Errorf(admin.CodeNotFound, "%v", ErrRootOffline)
	case req.Forget:
		err = s.forgetRoot(req.Proof)
	default:
		res.File = rootFile(*s.overlay.root)
	}
	if err != nil {
		return nil, admin.Errorf(admin.CodeRefused, "%v", err)
	}
	res.Offline, res.IssuerExpires = s.overlay.root == nil, s.overlay.issuer.NotAfter()
	return res, nil
}

func (s *Server) rootFingerprint() []byte {
	f := s.Fingerprint()
	return f[:]
}

func rootFile(key identity.PrivateKey) []byte { return []byte(key.Secret() + "\n") }

// forgetRoot removes the root key from the state file, whose freed pages are
// dropped by rewriting it at the next start.
func (s *Server) forgetRoot(proof string) error {
	sum := sha256.Sum256(rootFile(*s.overlay.root))
	if !strings.EqualFold(proof, hex.EncodeToString(sum[:])) {
		return errors.New("the copy outside is not proved to be the root key; export it first")
	}
	err := s.db.Update(func(tx *bbolt.Tx) error {
		if err := tx.Bucket(bucketMeta).Put(metaCompact, []byte{1}); err != nil {
			return err
		}
		return tx.Bucket(bucketMeta).Delete(metaRootKey)
	})
	if err == nil {
		s.overlay.root = nil
		s.log.Info().Msg("the root key was moved away; restart the server once so that its last traces leave the state file")
	}
	return err
}

// useRoot renews the issuing certificate with a root key that stays outside.
func (s *Server) useRoot(file []byte) error {
	key, err := identity.ParsePrivateKey(strings.TrimSpace(string(file)))
	if err != nil {
		return err
	}
	if !key.Public().Equal(s.trust.Root()) {
		return errors.New("this is not the root key of " + s.Overlay())
	}
	return s.overlay.signIssuer(s.db, key, s.cfg.Clock.Now())
}
