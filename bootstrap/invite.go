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
	maxInvitations       = 10_000
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
// An invitation for an enrolled name admits further devices of that person,
// once a device that has the account key was started with it, too.
func (s *Server) Invite(p InviteParams) (secret [secretLen]byte, expires time.Time, err error) {
	user, err := s.checkParams(&p)
	if err != nil {
		return secret, expires, err
	}
	copy(secret[:], secretBytes(secretLen))
	now := s.time.Now()
	inv := invitation{User: user, Number: p.Number, Devices: p.Devices, Made: now, Expires: now.Add(p.Expires)}
	key := sha256.Sum256(secret[:])
	err = s.write(func(tx *bbolt.Tx) error {
		if err := s.checkInvitable(tx, inv, now); err != nil {
			return err
		}
		if err := forgetOld(tx, now); err != nil {
			return err
		}
		return putJSON(tx, bucketInvitations, key[:], inv)
	})
	return secret, inv.Expires, err
}

// checkParams fills in defaults and returns the canonical name.
func (s *Server) checkParams(p *InviteParams) (user string, err error) {
	if user, err = identity.NormalizeUser(p.User); err != nil {
		return "", err
	}
	if slices.Contains(s.reserved, user) {
		return "", fmt.Errorf("%w: %q", ErrReserved, user)
	}
	if p.Devices == 0 {
		p.Devices = 1
	}
	if most := int(s.trust.Charter().MaxDevices); p.Devices < 1 || p.Devices > most {
		return "", fmt.Errorf("an invitation admits 1 to %d devices, not %d", most, p.Devices)
	}
	if p.Expires == 0 {
		p.Expires = defaultInviteExpiry
	}
	if p.Expires < time.Minute || p.Expires > maxInviteExpiry {
		return "", fmt.Errorf("an invitation lasts from 1m to %v, not %v", maxInviteExpiry, p.Expires)
	}
	switch {
	case p.Number == "":
	case len(p.Number) > maxNumberLen:
		return "", fmt.Errorf("a number has at most %d digits", maxNumberLen)
	case !isNumber(p.Number):
		return "", fmt.Errorf("a number has digits only, not %q", p.Number)
	case p.Number == user:
		return "", fmt.Errorf("%q is the name itself and can be dialled as it is; leave --number away", user)
	case slices.Contains(s.reserved, p.Number):
		return "", fmt.Errorf("%w: %q", ErrReserved, p.Number)
	}
	return user, nil
}

// checkInvitable refuses an invitation that could never be redeemed.
func (s *Server) checkInvitable(tx *bbolt.Tx, inv invitation, now time.Time) error {
	var p person
	known, err := getJSON(tx, bucketPeople, []byte(inv.User), &p)
	if err != nil {
		return err
	}
	if known && len(p.Devices) >= int(s.trust.Charter().MaxDevices) {
		return fmt.Errorf("%w (%d)", ErrTooManyDevices, len(p.Devices))
	}
	if known && inv.Number != "" && p.Number != inv.Number {
		return fmt.Errorf("%q is enrolled already; a number is given with the first invitation", inv.User)
	}
	if err := s.numberFree(tx, inv.User, inv.User, now); err != nil {
		return fmt.Errorf("%w: %q is somebody's number, or promised as one", ErrTaken, inv.User)
	}
	if inv.Number == "" {
		return nil
	}
	if tx.Bucket(bucketPeople).Get([]byte(inv.Number)) != nil {
		return fmt.Errorf("%w: somebody is enrolled under the name %s", ErrNumberTaken, inv.Number)
	}
	if err := s.numberFree(tx, inv.Number, inv.User, now); err != nil {
		return fmt.Errorf("%w; choose another than %s", err, inv.Number)
	}
	return invitedAs(tx, inv, now)
}

// invitedAs refuses a number under which somebody else is invited by name.
func invitedAs(tx *bbolt.Tx, inv invitation, now time.Time) error {
	taken := false
	err := eachInvitation(tx, func(_ []byte, other *invitation) {
		taken = taken || other.User == inv.Number && other.open(now)
	})
	if err == nil && taken {
		err = fmt.Errorf("%w: somebody is invited under the name %s", ErrNumberTaken, inv.Number)
	}
	return err
}

// isNumber tells whether a name has digits only, so that every phone can dial it.
func isNumber(name string) bool {
	for _, c := range []byte(name) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return name != ""
}

func eachInvitation(tx *bbolt.Tx, f func(key []byte, inv *invitation)) error {
	return tx.Bucket(bucketInvitations).ForEach(func(k, _ []byte) error {
		var inv invitation
		if _, err := getJSON(tx, bucketInvitations, k, &inv); err != nil {
			return err
		}
		f(k, &inv)
		return nil
	})
}

// forgetOld deletes invitations that expired long ago and bounds their number.
func forgetOld(tx *bbolt.Tx, now time.Time) error {
	var old [][]byte
	kept := 0
	err := eachInvitation(tx, func(k []byte, inv *invitation) {
		if now.Sub(inv.Expires) > expiredInvitationAge {
			old = append(old, slices.Clone(k))
		} else {
			kept++
		}
	})
	if err != nil {
		return err
	}
	for _, k := range old {
		if err := tx.Bucket(bucketInvitations).Delete(k); err != nil {
			return err
		}
	}
	if kept >= maxInvitations {
		return fmt.Errorf("%d invitations are kept, the most there may be; each is forgotten a week after it expires, so make them expire sooner or wait", kept)
	}
	return nil
}

func findInvitation(tx *bbolt.Tx, secret []byte) (inv invitation, err error) {
	key := sha256.Sum256(secret)
	known, err := getJSON(tx, bucketInvitations, key[:], &inv)
	if err == nil && !known {
		err = ErrBadInvitation
	}
	return inv, err
}

// redeem uses up one device of the invitation for the given name and node key.
// The same key may redeem again: its first answer may have been lost.
func redeem(tx *bbolt.Tx, secret []byte, user string, node identity.PublicKey, now time.Time) (invitation, error) {
	inv, err := findInvitation(tx, secret)
	switch {
	case err != nil:
		return inv, err
	case inv.User != user:
		return inv, ErrOtherName
	case slices.Contains(inv.Used, node):
		return inv, nil
	case now.After(inv.Expires):
		return inv, ErrExpired
	case len(inv.Used) >= inv.Devices:
		return inv, ErrUsed
	}
	inv.Used = append(inv.Used, node)
	key := sha256.Sum256(secret)
	return inv, putJSON(tx, bucketInvitations, key[:], inv)
}

// giveBack undoes redeem.
func giveBack(tx *bbolt.Tx, secret []byte, node identity.PublicKey) error {
	inv, err := findInvitation(tx, secret)
	if err != nil {
		return err
	}
	inv.Used = slices.DeleteFunc(inv.Used, func(k identity.PublicKey) bool { return k == node })
	key := sha256.Sum256(secret)
	return putJSON(tx, bucketInvitations, key[:], inv)
}
