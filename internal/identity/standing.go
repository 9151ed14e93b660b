package identity

import (
	"fmt"
	"slices"
	"time"
)

// What a board's bulletins mean for keys and names.

// IssuerRevoked tells whether the root has revoked an issuing key.
func (b *Board) IssuerRevoked(key PublicKey) bool {
	return b.Len() > 0 && len(b.list(RevokeIssuer, key.Digest())) > 0
}

// IssuerRetires tells whether the root has announced that an issuing key will be
// revoked: when it said so, and when that is.
func (b *Board) IssuerRetires(key PublicKey) (said, at time.Time, announced bool) {
	if b.Len() == 0 {
		return said, at, false
	}
	for _, p := range b.list(RetireIssuer, key.Digest()) {
		if end := time.UnixMilli(p.Until); !announced || end.Before(at) {
			said, at, announced = time.UnixMilli(p.Issued), end, true
		}
	}
	return said, at, announced
}

// AccountRevoked tells whether an issuing key has revoked an account key.
func (b *Board) AccountRevoked(key KeyDigest) bool {
	return b.Len() > 0 && len(b.list(RevokeAccount, key)) > 0
}

// NodeRevoked tells whether an issuing key or an account of the node's owner
// has revoked a node key.
func (b *Board) NodeRevoked(key PublicKey, owner OwnerTag) bool {
	return b.Len() > 0 && slices.ContainsFunc(b.list(RevokeNode, key.Digest()), func(p *Posted) bool {
		return !p.by.byAccount() || p.by.owner == owner
	})
}

// DeviceRevoked tells whether an issuing key or the account has revoked a device
// key that the account delegates to. What a key says counts for the keys that it
// has followed, too: whose device is gone does not come back with a delegation
// of before a change of keys.
func (b *Board) DeviceRevoked(account KeyDigest, device PublicKey) bool {
	return b.Len() > 0 && slices.ContainsFunc(b.list(RevokeDevice, device.Digest()), func(p *Posted) bool {
		return p.Account == account || slices.Contains(p.by.before, account)
	})
}

// DeviceEverRevoked is DeviceRevoked for an account's key and all that it has
// followed, oldest first, as far as rotations tell of them.
func (b *Board) DeviceEverRevoked(account PublicKey, rotations []Rotation, device PublicKey) bool {
	return b.DeviceRevoked(account.Digest(), device) || slices.ContainsFunc(rotations, func(r Rotation) bool {
		return b.DeviceRevoked(r.Old.Digest(), device)
	})
}

// list returns what the board says about a key. Lists are replaced or appended
// to, never changed in place.
func (b *Board) list(kind BulletinKind, of KeyDigest) []*Posted {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.about[subject{kind, of}]
}

// CheckName tells whether a name may be used with an account key at overlay time
// now: its key is not revoked, and where an earlier one was, a recovery has been
// public for RecoveryDelay without an objection. A zero key stands for whatever
// key the name has. The error wraps ErrRevoked.
func (b *Board) CheckName(aor AOR, key KeyDigest, now time.Time) error {
	if b.size.Load() == 0 {
		return nil
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	if key != (KeyDigest{}) && b.hasLocked(RevokeAccount, key) {
		return fmt.Errorf("%w: the account", ErrRevoked)
	}
	last := latest(b.names[NameTag(aor)], RevokeAccount)
	if last == nil {
		return nil
	}
	for _, r := range b.names[last.Name] {
		if r.Kind == Recovery && r.Account == last.Account && b.inForceLocked(r, now) {
			return nil
		}
	}
	return fmt.Errorf("%w: the name, and no recovery of it has been public for %v", ErrRevoked, RecoveryDelay)
}

// RevokedName tells whether the name's last account key has been revoked and
// no recovery is in force; note is the operator's reason.
func (b *Board) RevokedName(aor AOR, now time.Time) (note string, revoked bool) {
	if b.CheckName(aor, KeyDigest{}, now) == nil {
		return "", false
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	if p := latest(b.names[NameTag(aor)], RevokeAccount); p != nil {
		note = p.Note
	}
	return note, true
}

// RecoveryOf returns the last recovery that was announced for a name, nil if
// none, whether somebody with the old key has objected, and from when on it is
// in force if not.
func (b *Board) RecoveryOf(aor AOR) (r *Posted, vetoed bool, from time.Time) {
	if b.size.Load() == 0 {
		return nil, false, time.Time{}
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	if r = latest(b.names[NameTag(aor)], Recovery); r == nil {
		return nil, false, time.Time{}
	}
	return r, b.vetoedLocked(r), r.public()
}

// Standing tells whether somebody with the old key has objected to a recovery,
// and from when on it is in force if not.
func (b *Board) Standing(r *Posted) (vetoed bool, from time.Time) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.vetoedLocked(r), r.public()
}

// Recovered tells whether a name may change from one account key to another
// because the operator has said so in public for RecoveryDelay, and nobody has
// objected.
func (b *Board) Recovered(aor AOR, from, to KeyDigest, now time.Time) bool {
	if b.size.Load() == 0 {
		return false
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	return slices.ContainsFunc(b.names[NameTag(aor)], func(r *Posted) bool {
		return r.Kind == Recovery && r.Account == from && r.Subject == to && b.inForceLocked(r, now)
	})
}

// public is from when on this node lets a recovery count: RecoveryDelay after
// it was signed, and after this node first saw it, so that nobody can have been
// kept from knowing by a date.
func (p *Posted) public() time.Time {
	since := time.UnixMilli(p.Issued)
	if p.Seen.After(since) {
		since = p.Seen
	}
	return since.Add(RecoveryDelay)
}

func (b *Board) inForceLocked(r *Posted, now time.Time) bool {
	return !now.IsZero() && !now.Before(r.public()) && !b.vetoedLocked(r)
}

func (b *Board) vetoedLocked(r *Posted) bool {
	return slices.ContainsFunc(b.about[subject{Veto, KeyDigest(r.ID)}], func(v *Posted) bool {
		return v.Account == r.Account && v.Name == r.Name && v.Issued >= r.Issued-ClockSkew.Milliseconds() &&
			v.Issued <= r.Issued+RecoveryDelay.Milliseconds()
	})
}
