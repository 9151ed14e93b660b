package bootstrap

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/secp2psip/secp2psip/internal/identity"
)

// Bounds of an invitation.
const (
	secretLen            = 16
	defaultInviteExpiry  = 24 * time.Hour
	maxInviteExpiry      = 30 * 24 * time.Hour
	maxOpenInvitations   = 10_000
	maxNumberLen         = 16
	expiredInvitationAge = 7 * 24 * time.Hour // then it is forgotten
)

// InviteParams says whom to invite.
type InviteParams struct {
	User    string        // the name it admits, canonicalised here
	Number  string        // digits to dial, optional
	Devices int           // how many devices it admits, 1 to the charter's maximum; 0 = 1
	Expires time.Duration // from now; 0 = 24 h, at most 30 days
}

// Invite makes an invitation and returns its secret, which is not kept.
// An invitation for an enrolled name admits further devices of that person.
func (s *Server) Invite(p InviteParams) (secret [secretLen]byte, expires time.Time, err error) {
	user, err := identity.NormalizeUser(p.User)
	if err != nil {
		return secret, expires, err
	}
	if slices.Contains(s.reserved, user) {
		return secret, expires, fmt.Errorf("%w: %q", ErrReserved, user)
	}
	if p.Devices == 0 {
		p.Devices = 1
	}
	if most := int(s.trust.Charter().MaxDevices); p.Devices < 1 || p.Devices > most {
		return secret, expires, fmt.Errorf("an invitation admits 1 to %d devices, not %d", most, p.Devices)
	}
	if p.Expires == 0 {
		p.Expires = defaultInviteExpiry
	}
	if p.Expires < time.Minute || p.Expires > maxInviteExpiry {
		return secret, expires, fmt.Errorf("an invitation lasts from 1m to %v, not %v", maxInviteExpiry, p.Expires)
	}
	if err := checkNumber(p.Number); err != nil {
		return secret, expires, err
	}
	copy(secret[:], secretBytes(secretLen))
	now := s.cfg.Clock.Now()
	inv := invitation{User: user, Number: p.Number, Devices: p.Devices, Made: now, Expires: now.Add(p.Expires)}
	key := sha256.Sum256(secret[:])
	err = s.db.Update(func(tx *bbolt.Tx) error {
		if err := s.checkInvitable(tx, inv); err != nil {
			return err
		}
		if err := forgetOld(tx, now); err != nil {
			return err
		}
		return putJSON(tx, bucketInvitations, key[:], inv)
	})
	return secret, inv.Expires, err
}

// checkInvitable refuses an invitation that could never be redeemed.
func (s *Server) checkInvitable(tx *bbolt.Tx, inv invitation) error {
	var p person
	known, err := getJSON(tx, bucketPeople, []byte(inv.User), &p)
	if err != nil {
		return err
	}
	if known && len(p.Devices) >= int(s.trust.Charter().MaxDevices) {
		return fmt.Errorf("%w (%d)", ErrTooManyDevices, len(p.Devices))
	}
	if !known && tx.Bucket(bucketNumbers).Get([]byte(inv.User)) != nil {
		return fmt.Errorf("%w: it is somebody's number", ErrTaken)
	}
	if inv.Number != "" {
		if known && p.Number != inv.Number {
			return fmt.Errorf("%q is enrolled already; a number is given with the first invitation", inv.User)
		}
		if holder := tx.Bucket(bucketNumbers).Get([]byte(inv.Number)); holder != nil && string(holder) != inv.User {
			return fmt.Errorf("%w: %s belongs to %q", ErrNumberTaken, inv.Number, holder)
		}
		if tx.Bucket(bucketPeople).Get([]byte(inv.Number)) != nil {
			return fmt.Errorf("%w: it is somebody's name", ErrNumberTaken)
		}
	}
	return nil
}

// checkNumber wants digits, so that every phone can dial it.
func checkNumber(number string) error {
	if len(number) > maxNumberLen {
		return fmt.Errorf("a number has at most %d digits", maxNumberLen)
	}
	for _, c := range number {
		if c < '0' || c > '9' {
			return fmt.Errorf("a number has digits only, not %q", number)
		}
	}
	return nil
}

// forgetOld deletes invitations that expired long ago and bounds their number.
func forgetOld(tx *bbolt.Tx, now time.Time) error {
	b := tx.Bucket(bucketInvitations)
	var old [][]byte
	kept := 0
	err := b.ForEach(func(k, _ []byte) error {
		var inv invitation
		if _, err := getJSON(tx, bucketInvitations, k, &inv); err != nil {
			return err
		}
		if now.Sub(inv.Expires) > expiredInvitationAge {
			old = append(old, slices.Clone(k))
		} else {
			kept++
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, k := range old {
		if err := b.Delete(k); err != nil {
			return err
		}
	}
	if kept >= maxOpenInvitations {
		return fmt.Errorf("%d invitations are open, the most there may be", kept)
	}
	return nil
}

// redeem uses up one device of the invitation for the given node key. The
// same key may redeem again: its first answer may have been lost.
func redeem(tx *bbolt.Tx, secret []byte, node identity.PublicKey, now time.Time) (invitation, error) {
	var inv invitation
	key := sha256.Sum256(secret)
	known, err := getJSON(tx, bucketInvitations, key[:], &inv)
	if err != nil {
		return inv, err
	}
	if !known {
		return inv, ErrBadInvitation
	}
	if slices.Contains(inv.Used, node) {
		return inv, nil
	}
	if now.After(inv.Expires) {
		return inv, ErrExpired
	}
	if len(inv.Used) >= inv.Devices {
		return inv, ErrUsed
	}
	inv.Used = append(inv.Used, node)
	return inv, putJSON(tx, bucketInvitations, key[:], inv)
}
