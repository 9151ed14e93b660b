package bootstrap

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/secp2psip/secp2psip/internal/identity"
)

// RevokeParams says whom to revoke.
type RevokeParams struct {
	User   string // the name
	Device int    // the number of one of its devices; NoDevice: the name itself
	Note   string // for people, as everybody sees it; optional
}

// NoDevice stands for the whole name in RevokeParams.
const NoDevice = -1

// Revocation tells what a revocation did.
type Revocation struct {
	Nodes  int  // adapters that are put out of the ring
	Shared int  // adapters that stay, since they serve other names, too
	First  bool // the device may hold the account key: it was the name's first one
}

// spare is how much longer a bulletin stands than what it speaks of could be
// good for.
const spare = 24 * time.Hour

// bulletinUntil is when nothing that is signed at now is good any more.
func (s *Server) bulletinUntil(now time.Time) int64 {
	c := s.trust.Charter()
	return now.Add(seconds(max(c.CertificateLifetime, c.ShareLifetime)) + c.GraceTime() + spare).UnixMilli()
}

// post signs bulletins, puts them on this node's board and disk, and lets them
// spread.
func (s *Server) post(bulletins ...identity.Bulletin) error {
	issuer := s.overlay.issuer.Load()
	signed := make([]identity.SignedBulletin, 0, len(bulletins))
	for _, b := range bulletins {
		b.Version, b.Overlay = 0, s.trust.Overlay()
		one, err := identity.SignBulletin(b, issuer.Key(), issuer.Certificate())
		if err != nil {
			return err
		}
		signed = append(signed, one)
	}
	err := s.write(func(tx *bbolt.Tx) error { // another issuing key will have to say it again
		for i := range bulletins {
			id := signed[i].ID()
			if err := putJSON(tx, bucketPosted, id[:], bulletins[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.node.Announce(signed...)
}

// Revoke withdraws a name or one of its devices: all nodes of the overlay refuse
// it within minutes. A revoked name stays taken. There is no way back but
// Recover, which gives the name another key. The error wraps ErrNotEnrolled or
// ErrNoDevice.
func (s *Server) Revoke(p RevokeParams) (Revocation, error) {
	aor, person, err := s.personOf(p.User)
	if err != nil {
		return Revocation{}, err
	}
	devices := person.Devices
	if p.Device != NoDevice {
		at := slices.IndexFunc(devices, func(d device) bool { return d.Slot == p.Device && !d.Pending })
		if at < 0 {
			return Revocation{}, fmt.Errorf("%w: %d", ErrNoDevice, p.Device)
		}
		devices = devices[at : at+1]
	}
	now := s.time.Now()
	base := identity.Bulletin{Issued: now.UnixMilli(), Until: s.bulletinUntil(now), Note: p.Note}
	account := identity.KeyDigest(person.Account.Digest())
	var all []identity.Bulletin
	if p.Device == NoDevice {
		b := base
		b.Kind, b.Subject, b.Account, b.Name = identity.RevokeAccount, account, account, identity.NameTag(aor)
		all = append(all, b)
	}
	nodes, kept, err := s.nodesToRevoke(person, devices)
	out := Revocation{Nodes: len(nodes), Shared: len(kept), First: p.Device == 0}
	if err != nil {
		return out, err
	}
	for _, d := range devices {
		if p.Device != NoDevice {
			b := base
			b.Kind, b.Subject, b.Account = identity.RevokeDevice, d.Device.Digest(), account
			all = append(all, b)
			for _, r := range person.Rotations { // what earlier keys have delegated to it is void, too
				b.Account = r.Old.Digest()
				all = append(all, b)
			}
		}
	}
	for _, key := range nodes {
		b := base
		b.Kind, b.Subject = identity.RevokeNode, key.Digest()
		all = append(all, b)
	}
	if err := s.post(all...); err != nil {
		return out, err
	}
	return out, s.withdrawn(person.User, p.Device, kept, now)
}

// personOf finds an enrolled name.
func (s *Server) personOf(user string) (aor identity.AOR, p person, err error) {
	if aor, err = identity.NewAOR(user, s.Overlay()); err != nil {
		return aor, p, err
	}
	known := false
	err = s.db.View(func(tx *bbolt.Tx) error {
		known, err = getJSON(tx, bucketPeople, []byte(aor.User()), &p)
		return err
	})
	if err == nil && !known {
		err = fmt.Errorf("%w: %q", ErrNotEnrolled, aor.User())
	}
	return aor, p, err
}

// nodesToRevoke returns the node keys of devices, but for nodes that serve
// somebody else, too, who is not revoked; of those the slots.
func (s *Server) nodesToRevoke(p person, devices []device) (keys []identity.PublicKey, kept []int, err error) {
	shared := map[identity.PublicKey]bool{}
	err = s.people(func(other person) {
		if other.User == p.User || !other.Revoked.IsZero() {
			return
		}
		for _, d := range other.Devices {
			shared[d.NodeKey] = true
		}
	})
	for _, d := range devices {
		if shared[d.NodeKey] {
			kept = append(kept, d.Slot)
		} else if !slices.Contains(keys, d.NodeKey) {
			keys = append(keys, d.NodeKey)
		}
	}
	return keys, kept, err
}

// withdrawn notes that a name or one of its devices is revoked, and withdraws
// the name's invitations.
func (s *Server) withdrawn(user string, slot int, kept []int, now time.Time) error {
	return s.write(func(tx *bbolt.Tx) error {
		var p person
		if _, err := getJSON(tx, bucketPeople, []byte(user), &p); err != nil {
			return err
		}
		if slot != NoDevice {
			p.Devices = slices.DeleteFunc(p.Devices, func(d device) bool { return d.Slot == slot })
			p.Kept = append(p.Kept, kept...)
			return putJSON(tx, bucketPeople, []byte(user), p)
		}
		p.Revoked = now
		if _, err := dropInvitations(tx, func(inv *invitation) bool { return inv.User == user }); err != nil {
			return err
		}
		return putJSON(tx, bucketPeople, []byte(user), p)
	})
}

// dropInvitations deletes those that match and returns how many could have been
// used yet.
func dropInvitations(tx *bbolt.Tx, match func(*invitation) bool) (n int, err error) {
	var gone [][]byte
	err = eachInvitation(tx, func(k []byte, inv *invitation) {
		if match(inv) {
			gone = append(gone, bytes.Clone(k))
			if len(inv.Used) < inv.Devices {
				n++
			}
		}
	})
	for _, k := range gone {
		if err == nil {
			err = tx.Bucket(bucketInvitations).Delete(k)
		}
	}
	return n, err
}

// posted takes up what others have put on the board: a device that its owner
// has revoked makes room for another one.
func (s *Server) posted(fresh []*identity.Posted) {
	for _, p := range fresh {
		if p.Kind != identity.RevokeDevice || !p.Mine(p.Account) {
			continue
		}
		owner := p.Owner()
		err := s.write(func(tx *bbolt.Tx) error {
			return dropDevice(tx, p.Account, p.Subject, func(node identity.PublicKey) bool { return s.node.Board().NodeRevoked(node, owner) })
		})
		if err != nil {
			s.log.Warn().Err(err).Msg("a device that its owner has revoked still has its place in the state file")
		}
	}
}

func dropDevice(tx *bbolt.Tx, account, key identity.KeyDigest, revoked func(node identity.PublicKey) bool) error {
	var owner *person
	err := tx.Bucket(bucketPeople).ForEach(func(_, v []byte) error {
		var p person
		if err := json.Unmarshal(v, &p); err != nil || p.Account.Digest() != account {
			return err
		}
		owner = &p
		return nil
	})
	if err != nil || owner == nil {
		return err
	}
	owner.Devices = slices.DeleteFunc(owner.Devices, func(d device) bool {
		gone := d.Device.Digest() == key
		if gone && !revoked(d.NodeKey) {
			owner.Kept = append(owner.Kept, d.Slot)
		}
		return gone
	})
	return putJSON(tx, bucketPeople, []byte(owner.User), *owner)
}

// mayBe refuses keys that are revoked, at an enrolment and at a renewal.
func (s *Server) mayBe(account, device, node identity.PublicKey, owner identity.OwnerTag) error {
	board := s.node.Board()
	switch {
	case board.AccountRevoked(account.Digest()):
		return fmt.Errorf("%w: the name's key", ErrRevoked)
	case board.NodeRevoked(node, owner):
		return fmt.Errorf("%w: this adapter; enrol from a new state folder", ErrRevoked)
	case board.DeviceRevoked(account.Digest(), device):
		return fmt.Errorf("%w: this device", ErrRevoked)
	}
	return nil
}
