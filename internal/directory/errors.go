package directory

import (
	"errors"
	"fmt"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/keyshare"
)

// The errors of this package. All but ErrBusy, ErrClosed and those of
// publishing come with a Resolution that carries the evidence.
var (
	// ErrNoSuchName: proved absent.
	ErrNoSuchName = errors.New("no such name")
	// ErrNotRegistered: the name exists, none of its devices is registered. The
	// Resolution carries the key.
	ErrNotRegistered = errors.New("not registered")
	// ErrTimeout: too few positions answered in time to tell anything.
	ErrTimeout = errors.New("the ring did not answer in time")
	// ErrRingDown: no position could be reached at all.
	ErrRingDown = errors.New("the ring cannot be reached")
	// ErrHidden: look-ups are hidden here, and there was no way to ask without
	// saying who asks. Fetchers wrap it.
	ErrHidden = errors.New("look-ups are hidden at this adapter, and no member of the ring passed this one on")
	// ErrNotEnoughShares: the name exists, but fewer than k valid shares of its
	// key could be had.
	ErrNotEnoughShares = errors.New("not enough valid key shares")
	// ErrKeyConflict: the issuer has signed two keys for the name; the error is a
	// *keyshare.Conflict.
	ErrKeyConflict = keyshare.ErrKeyConflict
	// ErrKeyChanged: the key is not the pinned one; the error is a
	// *KeyChangedError.
	ErrKeyChanged = errors.New("the key has changed")
	// ErrRevoked: the name's account has been revoked.
	ErrRevoked = identity.ErrRevoked

	// ErrOtherKey: the key is not the one that the address itself names; the error
	// is an *OtherKeyError.
	ErrOtherKey = errors.New("the key is not the one in the address")

	// ErrBusy: too many names are being resolved at once.
	ErrBusy = errors.New("too many resolutions at once")
	// ErrClosed: Run has returned.
	ErrClosed = errors.New("the directory is closed")

	// ErrQuorum: a record was stored at too few positions.
	ErrQuorum = errors.New("stored at too few positions")
	// ErrStale: a holder has, or had, a record with a higher sequence. Rings
	// return it, wrapped or not, from Store; sign anew with a sequence above
	// Latest.
	ErrStale = record.ErrStale
	// ErrConflict: a holder has another record with the same sequence. Rings
	// return it from Store; sign anew with a higher sequence.
	ErrConflict = record.ErrConflict
)

// KeyChangedError tells which key was expected for a name, which was found, and
// where.
type KeyChangedError struct {
	AOR                    identity.AOR
	Old, New               identity.PublicKey
	OldVersion, NewVersion uint32
	Seen                   []Sighting // at most maxSightings
}

// Sighting is an answer that spoke for a key.
type Sighting struct {
	Kind   string `json:"kind"`        // "registration", "account" or "share"
	X      uint8  `json:"x,omitempty"` // of a share
	Holder Holder `json:"holder"`
}

// maxSightings bounds the sightings of one error.
const maxSightings = 16

// Error implements error.
func (e *KeyChangedError) Error() string {
	return fmt.Sprintf("%v: %s was pinned (version %d), %s is what the ring says now (version %d)",
		ErrKeyChanged, e.Old.Fingerprint(), e.OldVersion, e.New.Fingerprint(), e.NewVersion)
}

// Unwrap returns ErrKeyChanged.
func (e *KeyChangedError) Unwrap() error { return ErrKeyChanged }

// OtherKeyError tells which key an address names, and which the ring says.
type OtherKeyError struct {
	AOR    identity.AOR
	Wanted identity.KeyTag
	Found  identity.PublicKey
}

// Error implements error.
func (e *OtherKeyError) Error() string {
	return fmt.Sprintf("%v: %s is what the ring says now", ErrOtherKey, e.Found.Fingerprint())
}

// Unwrap returns ErrOtherKey.
func (e *OtherKeyError) Unwrap() error { return ErrOtherKey }

// The reasons that Config.Refused is told, beside those of keyshare.
const (
	ReasonBadRecord         = "bad_record"         // signature, chain, time or form
	ReasonOtherName         = "other_name"         // not what was asked for
	ReasonOldSequence       = "old_sequence"       // below what this node has seen
	ReasonOldVersion        = "old_version"        // of an earlier key
	ReasonTooMany           = "too_many_records"   // in one answer
	ReasonUnconfirmedNumber = "unconfirmed_number" // the account does not have that number
	ReasonKeyConflict       = "key_conflict"
	ReasonKeyChanged        = "key_changed"
	ReasonOtherAddress      = "not_the_dialled_key"
	ReasonBusy              = "busy"
)
