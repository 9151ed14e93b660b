package bootstrap

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"github.com/secp2psip/secp2psip/internal/admin"
	"github.com/secp2psip/secp2psip/internal/identity"
)

// rootKey exports the root key, forgets it once the caller has proved to have
// it, or uses an exported one to renew the issuing certificate.
func (s *Server) rootKey(_ context.Context, req admin.RootRequest) (*admin.RootResult, error) {
	print := s.Fingerprint()
	res := &admin.RootResult{Fingerprint: hex.EncodeToString(print[:])}
	if err := s.withRoot(req, res); err != nil {
		code := admin.CodeRefused
		if errors.Is(err, ErrRootOffline) {
			code = admin.CodeNotFound
		}
		return nil, admin.Errorf(code, "%v", err)
	}
	if len(req.Use) > 0 && !req.Replace {
		if err := s.showOwn(); err != nil {
			return nil, admin.Errorf(admin.CodeInternal, "the issuing certificate is renewed, this server's own is not: %v; restart the server", err)
		}
	}
	res.Offline, res.IssuerExpires = s.overlay.offline(), s.overlay.issuer.Load().NotAfter()
	return res, nil
}

func (s *Server) withRoot(req admin.RootRequest, res *admin.RootResult) error {
	o := s.overlay
	o.rootMu.Lock()
	defer o.rootMu.Unlock()
	switch {
	case req.Replace:
		return s.replaceByRequestLocked(req, res)
	case len(req.Use) > 0:
		return s.useRootLocked(req.Use)
	case o.root == nil:
		return ErrRootOffline
	case req.Forget:
		return s.forgetRootLocked(req.Proof)
	}
	res.File = rootFile(*o.root)
	return nil
}

// replaceByRequestLocked replaces the issuing key, with the root key of a file or
// the one that is here.
func (s *Server) replaceByRequestLocked(req admin.RootRequest, res *admin.RootResult) error {
	root := s.overlay.root
	if len(req.Use) > 0 {
		key, err := identity.ParsePrivateKey(strings.TrimSpace(string(req.Use)))
		if err != nil {
			return err
		}
		root = &key
	}
	if root == nil {
		return ErrRootOffline
	}
	if req.GraceSeconds < 0 || req.GraceSeconds > int64(replaceGraceMax/time.Second) {
		return fmt.Errorf("the old issuing key can go on for up to %v", replaceGraceMax)
	}
	done, err := s.replaceLocked(*root, time.Duration(req.GraceSeconds)*time.Second)
	res.Revokes, res.Issuer = done.Revokes, done.Key.Fingerprint()
	return err
}

func rootFile(key identity.PrivateKey) []byte { return []byte(key.Secret() + "\n") }

// forgetRootLocked removes the root key from the state file, whose freed pages
// are dropped by rewriting it at the next start.
func (s *Server) forgetRootLocked(proof string) error {
	sum := sha256.Sum256(rootFile(*s.overlay.root))
	if !strings.EqualFold(proof, hex.EncodeToString(sum[:])) {
		return errors.New("the copy outside is not proved to be the root key; export it first")
	}
	err := s.write(func(tx *bbolt.Tx) error {
		if err := tx.Bucket(bucketMeta).Put(metaCompact, []byte{1}); err != nil {
			return err
		}
		return tx.Bucket(bucketMeta).Delete(metaRootKey)
	})
	if err != nil {
		return err
	}
	s.overlay.root = nil
	s.log.Info().Msg("the root key was moved away; restart the server once so that its last traces leave the state file")
	return nil
}

// useRootLocked renews the issuing certificate with a root key that stays
// outside.
func (s *Server) useRootLocked(file []byte) error {
	key, err := identity.ParsePrivateKey(strings.TrimSpace(string(file)))
	if err != nil {
		return err
	}
	if !key.Public().Equal(s.trust.Root()) {
		return errors.New("this is not the root key of " + s.Overlay() + "; nothing was changed")
	}
	return s.overlay.signIssuerLocked(s.db, key, s.time.Now())
}
