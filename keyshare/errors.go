package keyshare

import (
	"errors"
	"fmt"

	"github.com/secp2psip/secp2psip/internal/identity"
)

// The errors of this package.
var (
	// ErrBadShare: a share was refused; the error is a *BadShare.
	ErrBadShare = errors.New("bad share")
	// ErrKeyConflict: the issuer has signed two keys for one name; the error is
	// a *Conflict.
	ErrKeyConflict = errors.New("two keys for one name")
	// ErrParams: a dealing that cannot be made, or shares that do not make one.
	ErrParams = errors.New("not a dealing")
)

// The reasons for which a share is refused, in the words that evidence and
// counters use.
const (
	ReasonSignature    = "bad_signature"     // not signed by an issuer of this overlay
	ReasonExpired      = "expired"           // beyond its lifetime and the overlay's grace, or issued in the future
	ReasonMalformed    = "malformed"         // does not decode
	ReasonNotShare     = "not_a_share"       // a record of another kind, or a tombstone
	ReasonOtherName    = "other_name"        // somebody else's
	ReasonZeroX        = "zero_x"            // x = 0 would be taken for the secret itself
	ReasonXRange       = "x_out_of_range"    // x > n
	ReasonMisplaced    = "misplaced"         // x is not the part, or not what was asked for
	ReasonDuplicateX   = "duplicate_x"       // this x was counted already
	ReasonThreshold    = "wrong_threshold"   // k or n is not the overlay's
	ReasonLength       = "wrong_length"      // y does not have 32 bytes
	ReasonOldVersion   = "old_version"       // of an earlier key
	ReasonNewVersion   = "new_version"       // of a later key than the certificate's
	ReasonOtherDealing = "other_dealing"     // of an earlier split of the key
	ReasonOtherKey     = "other_key"         // another key under the same version: evidence against the issuer
	ReasonWrongValue   = "wrong_value"       // signed, but not on the polynomial of the others
	ReasonTooMany      = "too_many_dealings" // more splits of one name than anybody needs to hear of
)

// BadShare names a holder that answered with a share which does not count.
type BadShare struct {
	From   identity.NodeID `json:"holder"`
	X      uint8           `json:"x"` // as far as it could be read
	Reason string          `json:"reason"`
	Err    error           `json:"-"` // the cause, or nil
}

// Error implements error.
func (b *BadShare) Error() string {
	if b.Err != nil {
		return fmt.Sprintf("share %d from %s refused: %s: %v", b.X, b.From.Short(), b.Reason, b.Err)
	}
	return fmt.Sprintf("share %d from %s refused: %s", b.X, b.From.Short(), b.Reason)
}

// Is makes every BadShare match ErrBadShare.
func (b *BadShare) Is(target error) bool { return target == ErrBadShare }

// Unwrap returns the cause.
func (b *BadShare) Unwrap() error { return b.Err }
