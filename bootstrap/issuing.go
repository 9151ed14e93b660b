package bootstrap

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/secp2psip/secp2psip/internal/identity"
)

// The issuing key can be replaced, with the root key, by one of this server's
// making. All that the old one has signed is void from the moment on that it is
// revoked: at once where somebody else has it, or after a grace, in which
// everybody fetches new certificates while the old ones still count. People's
// keys stay, and so do pins.

// Bounds of a replacement.
const (
	ReplaceGrace    = 24 * time.Hour // unless the operator says otherwise
	replaceGraceMax = 30 * 24 * time.Hour
	dealBatch       = 100 // names dealt anew in one write
)

// replacedLately is how long after the end of a grace a zero grace is taken for
// one that is too late to end it.
const replacedLately = 15 * time.Minute

// retired is an issuing key that is to be revoked, as the state file keeps it:
// the root key signs that beforehand, and need not be here when it is time.
type retired struct {
	Key    identity.KeyDigest
	At     time.Time
	Signed identity.SignedBulletin
}

// Replacement tells what a replacement of the issuing key did.
type Replacement struct {
	Key     identity.PublicKey // that issues now
	Revokes time.Time          // when the old one is revoked
}

// Replace gives the server a new issuing key and has the old one revoked after
// grace; zero is at once. root is the overlay's. While an earlier replacement is
// in its grace, a zero grace ends that, and makes no other key; one that comes
// within replacedLately of that end, however it came, is refused: it would revoke
// the new key at once. The error wraps ErrReplacing where another one is in its
// grace, ErrReplaced where it has just ended.
func (s *Server) Replace(root identity.PrivateKey, grace time.Duration) (Replacement, error) {
	s.overlay.rootMu.Lock()
	defer s.overlay.rootMu.Unlock()
	return s.replaceLocked(root, grace)
}

func (s *Server) replaceLocked(root identity.PrivateKey, grace time.Duration) (out Replacement, err error) {
	if !root.Public().Equal(s.trust.Root()) {
		return out, fmt.Errorf("%w: %s", ErrOtherRoot, s.Overlay())
	}
	if grace < 0 || grace > replaceGraceMax {
		return out, fmt.Errorf("the old issuing key can go on for up to %v, not %v", replaceGraceMax, grace)
	}
	now := s.time.Now()
	pending, err := s.pendingRevocation()
	switch {
	case err != nil:
		return out, err
	case pending != nil && grace > 0:
		return out, fmt.Errorf("%w at %s", ErrReplacing, pending.At.Local().Format(time.DateTime))
	case pending != nil:
		out = Replacement{s.overlay.issuer.Load().Key().Public(), now}
		return out, s.revokeIssuer(root, pending.Key, now, now.Add(s.longest()))
	}
	if grace == 0 {
		if err := s.replacedLately(now); err != nil {
			return out, err
		}
	}
	old := s.overlay.issuer.Load()
	out.Revokes = now.Add(grace)
	if out.Key, err = s.makeIssuer(root, old, out.Revokes, now); err != nil {
		return out, err
	}
	return out, s.announceIssuer(root, old, out.Revokes, now)
}

// replacedLately refuses to replace a key at once that has itself just taken
// another one's place: who asks means the end of that grace, which was quicker.
func (s *Server) replacedLately(now time.Time) error {
	var ended int64
	err := s.db.View(func(tx *bbolt.Tx) error {
		if data := tx.Bucket(bucketMeta).Get(metaReplaced); data != nil {
			return json.Unmarshal(data, &ended)
		}
		return nil
	})
	at := time.UnixMilli(ended)
	if age := now.Sub(at); err != nil || age < 0 || age >= replacedLately {
		return err
	}
	return fmt.Errorf("%w at %s, and nothing is left to be ended; to revoke the new issuing key as well, give it a grace ('--grace 1s')",
		ErrReplaced, at.Local().Format(time.DateTime))
}

// longest is how long anything that is signed now can be good.
func (s *Server) longest() time.Duration {
	c := s.trust.Charter()
	return seconds(max(c.CertificateLifetime, c.ShareLifetime)) + c.GraceTime() + spare
}

// makeIssuer makes the new key and keeps it, with the old one's revocation.
func (s *Server) makeIssuer(root identity.PrivateKey, old *identity.Issuer, at, now time.Time) (pub identity.PublicKey, err error) {
	key, err := identity.GenerateKey()
	if err != nil {
		return pub, err
	}
	der, err := identity.IssueIssuerCertificate(root, s.overlay.rootCert, key.Public(), now)
	if err != nil {
		return pub, err
	}
	issuer, err := identity.NewIssuer(key, der)
	if err != nil {
		return pub, err
	}
	later := retired{Key: old.Key().Public().Digest(), At: at}
	if later.Signed, err = s.signRevocation(root, later.Key, at, old.NotAfter().Add(s.longest())); err != nil {
		return pub, err
	}
	data, err := json.Marshal(later)
	if err != nil {
		return pub, err
	}
	err = s.write(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketMeta)
		return errors.Join(
			b.Put(metaIssuerKey, s.file.Seal(bucketMeta, metaIssuerKey, []byte(key.Secret()))),
			b.Put(metaIssuerCert, der), b.Put(metaRetired, data))
	})
	if err != nil {
		return pub, err
	}
	s.overlay.issuer.Store(issuer)
	return key.Public(), nil
}

func (s *Server) signRevocation(root identity.PrivateKey, key identity.KeyDigest, at, until time.Time) (identity.SignedBulletin, error) {
	return identity.SignBulletin(identity.Bulletin{
		Kind: identity.RevokeIssuer, Overlay: s.Overlay(), Subject: key, Issued: at.UnixMilli(), Until: until.UnixMilli(),
	}, root)
}

// announceIssuer repeats under the new key what the old one has revoked, shows
// this server's own new certificate, and tells the overlay.
func (s *Server) announceIssuer(root identity.PrivateKey, old *identity.Issuer, at, now time.Time) error {
	if err := s.repeatBulletins(now); err != nil {
		return err
	}
	if err := s.showOwn(); err != nil {
		return err
	}
	s.log.Warn().Time("revoked", at).Msg("there is a new issuing key; the old one is revoked then, and adapters renew by themselves")
	defer s.wake()
	if !at.After(now) {
		return s.revokeIfDue(now)
	}
	signed, err := identity.SignBulletin(identity.Bulletin{
		Kind: identity.RetireIssuer, Overlay: s.Overlay(), Subject: old.Key().Public().Digest(), Issued: now.UnixMilli(), Until: at.UnixMilli(),
	}, root)
	if err != nil {
		return err
	}
	return s.node.Announce(signed)
}

// repeatBulletins signs with the present issuing key what this server has
// revoked and announced before, as far as that is not over.
func (s *Server) repeatBulletins(now time.Time) error {
	var again []identity.Bulletin
	err := s.write(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketPosted)
		var gone [][]byte
		err := b.ForEach(func(k, v []byte) error {
			var body identity.Bulletin
			if err := json.Unmarshal(v, &body); err != nil {
				return fmt.Errorf("state file, %s: %w", bucketPosted, err)
			}
			if body.Until > now.UnixMilli() {
				again = append(again, body)
			}
			gone = append(gone, append([]byte(nil), k...))
			return nil
		})
		for _, k := range gone {
			err = errors.Join(err, b.Delete(k))
		}
		return err
	})
	if err != nil {
		return err
	}
	return s.post(again...)
}

// pendingRevocation returns the issuing key that is to be revoked, nil if none.
func (s *Server) pendingRevocation() (r *retired, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		if data := tx.Bucket(bucketMeta).Get(metaRetired); data != nil {
			r = &retired{}
			return json.Unmarshal(data, r)
		}
		return nil
	})
	return r, err
}

// revokeIfDue revokes the old issuing key when its grace is over.
func (s *Server) revokeIfDue(now time.Time) error {
	r, err := s.pendingRevocation()
	if err != nil || r == nil || now.Before(r.At) {
		return err
	}
	if err := s.node.Announce(r.Signed); err != nil {
		return err
	}
	s.log.Warn().Msg("the old issuing key is revoked")
	return s.forgetRetired()
}

// revokeIssuer revokes a key before its grace is over.
func (s *Server) revokeIssuer(root identity.PrivateKey, key identity.KeyDigest, at, until time.Time) error {
	signed, err := s.signRevocation(root, key, at, until)
	if err != nil {
		return err
	}
	if err := s.node.Announce(signed); err != nil {
		return err
	}
	return s.forgetRetired()
}

// forgetRetired notes that the key before the present one has been revoked, and when.
func (s *Server) forgetRetired() error {
	return s.write(func(tx *bbolt.Tx) error {
		ended, err := json.Marshal(s.time.Now().UnixMilli())
		b := tx.Bucket(bucketMeta)
		return errors.Join(err, b.Put(metaReplaced, ended), b.Delete(metaRetired))
	})
}

// wake lets maintain look what is due.
func (s *Server) wake() {
	select {
	case s.due <- struct{}{}:
	default:
	}
}

// outdated tells whether a person's records are signed by another issuing key
// than the present one.
func (s *Server) outdated(p *person) bool {
	chain := p.Lookup.Chain.Certificates
	if len(chain) == 0 {
		return true
	}
	key, err := s.trust.IssuerOf([][]byte{p.Cert, chain[0]})
	return err != nil || !key.Equal(s.overlay.issuer.Load().Key().Public())
}

// dealAnew deals a person's key again, under the present issuing key.
func (s *Server) dealAnew(p *person, now time.Time) error {
	aor, err := identity.NewAOR(p.User, s.Overlay())
	if err != nil {
		return err
	}
	p.Dealing = max(p.Dealing+1, uint64(now.UnixMilli()))
	return s.deal(p, aor, now)
}

// dealOutdated deals anew for all whose records another issuing key has signed,
// and puts the new ones on the ring: names are found while their adapters are
// away.
func (s *Server) dealOutdated(ctx context.Context) error {
	var users []string
	err := s.people(func(p person) {
		if p.Revoked.IsZero() && s.outdated(&p) {
			users = append(users, p.User)
		}
	})
	for ; err == nil && len(users) > 0 && ctx.Err() == nil; users = users[min(len(users), dealBatch):] {
		var dealt []person
		err = s.write(func(tx *bbolt.Tx) error {
			dealt = dealt[:0]
			for _, user := range users[:min(len(users), dealBatch)] {
				var p person
				known, err := getJSON(tx, bucketPeople, []byte(user), &p)
				if err == nil && known && s.outdated(&p) {
					if err = s.dealAnew(&p, s.time.Now()); err == nil {
						err = putJSON(tx, bucketPeople, []byte(user), p)
					}
					dealt = append(dealt, p)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
		for i := range dealt {
			if err == nil && ctx.Err() == nil {
				s.publishPerson(dealt[i])
			}
		}
	}
	return err
}

func (s *Server) countOutdated() (n int) {
	_ = s.people(func(p person) {
		if p.Revoked.IsZero() && s.outdated(&p) {
			n++
		}
	})
	return n
}
