package directory

import (
	"errors"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/keyshare"
)

// Accept is a person's decision that key, of the given version, is the right
// one for aor: it is pinned, and what spoke against it no longer refuses
// calls.
func (d *Directory) Accept(aor identity.AOR, key identity.PublicKey, version uint32) error {
	d.pinning.Lock()
	defer d.pinning.Unlock()
	now := d.cfg.Now()
	return d.decideLocked(aor, identity.Pin{Key: key, Version: version, First: now, Last: now})
}

// Compared notes that two people have compared the key of aor. A name that is
// pinned to another key is ErrKeyChanged: Accept comes first.
func (d *Directory) Compared(aor identity.AOR, key identity.PublicKey, version uint32) error {
	d.pinning.Lock()
	defer d.pinning.Unlock()
	now := d.cfg.Now()
	pin, known := d.pinOf(aor)
	if known && pin.Key != key {
		return &KeyChangedError{AOR: aor, Old: pin.Key, New: key, OldVersion: pin.Version, NewVersion: version}
	}
	if !known {
		pin.First = now
	}
	pin.Key, pin.Version, pin.Last, pin.Compared, pin.ComparedVersion = key, version, now, now, version
	return d.decideLocked(aor, pin)
}

// decideLocked writes a pin that a person has decided on; pinning is held.
func (d *Directory) decideLocked(aor identity.AOR, pin identity.Pin) error {
	if err := d.cfg.Pins.SetAll(map[identity.AOR]identity.Pin{aor: pin}); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.pending, aor)
	if x, ok := d.conflicts.get(aor); ok {
		x.blocked = false
	}
	if e, ok := d.cache.get(aor); ok {
		e.until = time.Time{}
	}
	return nil
}

// Followed is a change of keys that the old one has signed.
type Followed struct {
	AOR                    identity.AOR
	Old, New               identity.PublicKey
	OldVersion, NewVersion uint32
}

// Rival is a key that the issuer has certified for a name beside another one.
type Rival struct {
	Key     identity.PublicKey
	Version uint32
}

// Rivals returns the keys between which a person must decide where a resolution
// has ended with ErrKeyConflict; two is whether it has. A key that only shares
// speak of is not among them.
func Rivals(err error) (rivals []Rival, two bool) {
	c, two := errors.AsType[*keyshare.Conflict](err)
	if !two {
		return nil, false
	}
	for _, claim := range []keyshare.Claim{c.First, c.Second} {
		if !claim.Key.IsZero() {
			rivals = append(rivals, Rival{claim.Key, claim.Version})
		}
	}
	return rivals, true
}
