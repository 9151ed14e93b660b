package directory

import (
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/keyshare"
)

// Keys that follow one another. A person's key changes by a rotation that the
// key before has signed, and that the account certificate carries. While the new
// records spread, readers meet both keys: either is right until the overlap that
// the old key has signed is over.

// earlier returns the keys that a certificate's key has followed and that have
// not ended.
func (f *Resolving) earlier(c *identity.AccountCertificate) (claims []keyshare.Claim) {
	for i := range c.Rotations {
		old := f.certOf(c.Rotations[i].Old)
		if old == nil || f.set.Now().After(c.Rotations[i].Until()) {
			continue
		}
		claims = append(claims, keyshare.ClaimOf(old))
	}
	return claims
}

// certOf returns the certificate of a key that has been seen, or nil.
func (f *Resolving) certOf(key identity.PublicKey) *identity.AccountCertificate {
	for _, c := range f.certs {
		if c.Key == key {
			return c
		}
	}
	return nil
}

// dialled returns the latest certificate of the key that the address names, or
// of one that follows it; nil if there is none yet.
func (f *Resolving) dialled() (best *identity.AccountCertificate) {
	for _, c := range f.certs {
		if f.known.Want.Leads(c) && (best == nil || c.Version > best.Version) {
			best = c
		}
	}
	return best
}

// notDialled is the error where other keys have been found than the one that the
// address names, and all have been asked; nil where it is not that.
func (f *Resolving) notDialled() error {
	if other := f.latest(); !f.known.Want.IsZero() && f.cert == nil && other != nil {
		return &OtherKeyError{AOR: f.aor, Wanted: f.known.Want, Found: other.Key}
	}
	return nil
}

// pinned tells whether a key is the pinned one, or follows it.
func (f *Resolving) pinned(digest [32]byte) bool {
	if digest == f.known.Pin.Key.Digest() {
		return true
	}
	for _, c := range f.certs {
		if c.Key.Digest() == digest && c.Follows(f.known.Pin.Key) {
			return true
		}
	}
	return false
}

// behind tells whether all that has been seen is of an earlier key than the
// pinned one: then everybody is asked before that is an alarm.
func (f *Resolving) behind() bool {
	return f.known.Pin != nil && f.cert != nil && f.cert.Version < f.known.Pin.Version && f.cert.Key != f.known.Pin.Key
}

// current returns the newest word of each device under the key that counts, one
// that follows it, or one that it has followed and that had not ended when the
// device spoke.
func (f *Resolving) current() map[uint64]*registration {
	out := make(map[uint64]*registration, len(f.devices))
	for at, reg := range f.devices {
		if best := out[at.part]; f.speaks(reg) && (best == nil || reg.device.Seq > best.device.Seq) {
			out[at.part] = reg
		}
	}
	return out
}

func (f *Resolving) speaks(reg *registration) bool {
	if f.cert == nil || reg.account.Follows(f.cert.Key) {
		return f.cert != nil
	}
	r, _ := f.cert.Before(reg.account.Key.Digest())
	return r != nil && !reg.time.After(r.Until())
}
