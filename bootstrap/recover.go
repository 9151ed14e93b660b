package bootstrap

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/wire"
	"github.com/secp2psip/secp2psip/keyshare"
)

// A recovery gives an enrolled name another account key, for a person who has
// lost the old one. The operator makes an invitation for it. The adapter that
// redeems it shows the new key, which is announced to the whole overlay and
// counts when it has been public for identity.RecoveryDelay; until then the
// adapter asks again and again. Who has the old key can object all that time.

// Bounds of a recovery.
const (
	recoverExpiry = 7 * 24 * time.Hour  // of its invitation, unless it says otherwise
	recoverTime   = 60 * 24 * time.Hour // beyond what it replaces: nobody waits longer with it
	recoverSlack  = 10 * time.Minute    // for bulletins to have come to everybody
)

// Recover makes an invitation with which one adapter gives an enrolled name
// another key. The error wraps ErrNotEnrolled.
func (s *Server) Recover(user string, expires time.Duration) (secret [secretLen]byte, until time.Time, err error) {
	aor, _, err := s.personOf(user)
	if err != nil {
		return secret, until, err
	}
	if expires == 0 {
		expires = recoverExpiry
	}
	if expires < recoverSlack || expires > maxInviteExpiry {
		return secret, until, fmt.Errorf("an invitation to recover a name lasts from %v to %v, not %v", recoverSlack, maxInviteExpiry, expires)
	}
	copy(secret[:], secretBytes(secretLen))
	now := s.time.Now()
	inv := invitation{User: aor.User(), Devices: 1, Made: now, Expires: now.Add(expires), Recover: true}
	key := sha256.Sum256(secret[:])
	err = s.write(func(tx *bbolt.Tx) error {
		if err := forgetOld(tx, now); err != nil {
			return err
		}
		if _, err := dropInvitations(tx, func(i *invitation) bool { return i.User == inv.User }); err != nil {
			return err // one recovery at a time; others would admit devices of the old key
		}
		return putJSON(tx, bucketInvitations, key[:], inv)
	})
	return secret, inv.Expires, err
}

// recover takes an enrolment with an invitation to recover a name as far as it
// can be now. It returns nil where there is nothing to recover, or when the name
// has its new key; else ErrRecovering or ErrObjected.
func (s *Server) recover(aor identity.AOR, b wire.RegisterBody) error {
	old, applies, err := s.recoverable(aor, b)
	if err != nil || !applies {
		return err
	}
	board, now := s.node.Board(), s.time.Now()
	from, to := identity.KeyDigest(old.Account.Digest()), identity.KeyDigest(b.Account.Digest())
	if err := s.mayBe(b.Account, b.Device, b.Node, identity.OwnerTag{}); err != nil {
		return err
	}
	announced, objected, public := board.RecoveryOf(aor)
	switch {
	case announced == nil || announced.Account != from || announced.Subject != to:
		err := s.post(identity.Bulletin{
			Kind: identity.Recovery, Subject: to, Account: from, Name: identity.NameTag(aor),
			Issued: now.UnixMilli(), Until: s.bulletinUntil(now) + recoverTime.Milliseconds(), Note: b.Account.Fingerprint(),
		})
		if err != nil {
			return err
		}
		s.log.Info().Msg("the recovery of a name was announced; its new key counts in 24 hours")
		public = now.Add(identity.RecoveryDelay)
	case objected:
		return ErrObjected
	case !now.Before(public.Add(recoverSlack)):
		return s.rekey(aor, old, b, now)
	}
	return fmt.Errorf("%w, that is at %s", ErrRecovering, public.Add(recoverSlack).Local().Format(time.DateTime))
}

// recoverable finds the person whose key an enrolment is to replace. Only with
// an invitation made for that; the first adapter that redeems it, alone.
func (s *Server) recoverable(aor identity.AOR, b wire.RegisterBody) (p person, applies bool, err error) {
	if len(b.Invitation) == 0 || b.Further() {
		return p, false, nil
	}
	now := s.time.Now()
	err = s.write(func(tx *bbolt.Tx) error {
		inv, err := findInvitation(tx, b.Invitation)
		if err != nil || !inv.Recover || inv.User != aor.User() {
			return nil // admit finds out
		}
		known, err := getJSON(tx, bucketPeople, []byte(aor.User()), &p)
		if err != nil || !known || p.Account.Equal(b.Account) {
			return err
		}
		if _, err := redeem(tx, b.Invitation, aor.User(), b.Node, now); err != nil {
			return err
		}
		applies = true
		return nil
	})
	return p, applies, err
}

// rekey gives a name its new key: the old one and its devices are revoked, and
// the new one is dealt anew.
func (s *Server) rekey(aor identity.AOR, old person, b wire.RegisterBody, now time.Time) error {
	from := identity.KeyDigest(old.Account.Digest())
	base := identity.Bulletin{Issued: now.UnixMilli(), Until: s.bulletinUntil(now), Note: "replaced by " + b.Account.Fingerprint()}
	bulletins := []identity.Bulletin{}
	if !s.node.Board().AccountRevoked(from) {
		r := base
		r.Kind, r.Subject, r.Account, r.Name = identity.RevokeAccount, from, from, identity.NameTag(aor)
		bulletins = append(bulletins, r)
	}
	nodes, kept, err := s.nodesToRevoke(old, old.Devices)
	if err != nil {
		return err
	}
	for _, key := range nodes {
		if !key.Equal(b.Node) {
			r := base
			r.Kind, r.Subject = identity.RevokeNode, key.Digest()
			bulletins = append(bulletins, r)
		}
	}
	if err := s.post(bulletins...); err != nil {
		return err
	}
	err = s.write(func(tx *bbolt.Tx) error {
		var p person
		if _, err := getJSON(tx, bucketPeople, []byte(old.User), &p); err != nil || !p.Account.Equal(old.Account) {
			return err // done by an attempt beside this one
		}
		p.Account, p.Version, p.Dealing, p.Revoked, p.Devices = b.Account, p.Version+1, uint64(now.UnixMilli()), time.Time{}, nil
		p.Kept, p.Rotations = append(p.Kept, kept...), nil // nothing that the old key has signed leads to this one
		if err := s.deal(&p, aor, now); err != nil {
			return err
		}
		return putJSON(tx, bucketPeople, []byte(p.User), p)
	})
	if err == nil {
		s.log.Info().Msg("a name has its new key; what the old one had signed is revoked")
	}
	return err
}

// deal splits a person's key into shares, and certifies it.
func (s *Server) deal(p *person, aor identity.AOR, now time.Time) error {
	charter := s.trust.Charter()
	p.Renewed = now
	return s.certify(p, now, func(beside []record.Body) ([]record.Record, error) {
		return keyshare.Deal(p.Account, keyshare.Params{
			AOR: aor, Owner: p.Owner, Version: p.Version, Dealing: p.Dealing, K: charter.K, N: charter.N,
			Seq: uint64(now.UnixMilli()), Now: now, Lifetime: seconds(charter.ShareLifetime), Beside: beside,
		}, s.overlay.issuer.Load())
	})
}

// devicesOf lists a name's devices by number.
func devicesOf(p person) []device {
	out := slices.DeleteFunc(slices.Clone(p.Devices), func(d device) bool { return d.Pending })
	slices.SortFunc(out, func(a, b device) int { return a.Slot - b.Slot })
	return out
}
