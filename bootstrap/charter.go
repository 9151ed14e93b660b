package bootstrap

import (
	"context"
	"errors"
	"strings"

	"go.etcd.io/bbolt"

	"github.com/secp2psip/secp2psip/internal/admin"
	"github.com/secp2psip/secp2psip/internal/identity"
)

// charter shows the charter in force, or issues the next edition of it.
func (s *Server) charter(_ context.Context, req admin.CharterRequest) (*admin.Charter, error) {
	if len(req.Set) == 0 {
		return admin.CharterOf(s.trust.Charter()), nil
	}
	err := s.IssueCharter(req.Set, req.Use)
	switch {
	case errors.Is(err, ErrRootOffline):
		return nil, admin.Errorf(admin.CodeRefused, "the root key is offline; name the file that it was moved to with --root-key FILE")
	case errors.Is(err, identity.ErrMalformed), errors.Is(err, identity.ErrFixed):
		return nil, admin.Errorf(admin.CodeBadRequest, "%v; nothing was changed", err)
	case err != nil:
		return nil, admin.Errorf(admin.CodeRefused, "%v", err)
	}
	return admin.CharterOf(s.trust.Charter()), nil
}

// IssueCharter signs the next edition of the charter with values by their keys,
// as identity.Charter.Edit takes them, and spreads it. use is the root key's file
// where the key is not here; no copy of it is kept. The error wraps
// ErrRootOffline, identity.ErrMalformed or identity.ErrFixed, or is of the disk.
func (s *Server) IssueCharter(values map[string]string, use []byte) error {
	s.overlay.rootMu.Lock()
	defer s.overlay.rootMu.Unlock()
	var root identity.PrivateKey
	switch {
	case len(use) > 0:
		key, err := identity.ParsePrivateKey(strings.TrimSpace(string(use)))
		if err != nil {
			return err
		}
		if !key.Public().Equal(s.trust.Root()) {
			return errors.New("this is not the root key of " + s.Overlay() + "; nothing was changed")
		}
		root = key
	case s.overlay.root == nil:
		return ErrRootOffline
	default:
		root = *s.overlay.root
	}
	next, err := s.trust.Charter().Edit(values, s.time.Now())
	if err != nil {
		return err
	}
	signed, err := next.Sign(root)
	if err != nil {
		return err
	}
	return s.node.TakeCharter(signed)
}

// keepCharter writes down a later edition, which may come from other nodes: this
// server may have been restored from a backup.
func (s *Server) keepCharter(c identity.SignedCharter) error {
	s.overlay.charter.Store(&c)
	return s.write(func(tx *bbolt.Tx) error { return tx.Bucket(bucketMeta).Put(metaCharter, c) })
}
