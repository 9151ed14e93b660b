package bootstrap

import (
	"errors"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// Why an enrolment or an administrative request is refused. The text goes to
// the person who asked.
var (
	ErrBadInvitation  = errors.New("this invitation is not known here: it was mistyped, withdrawn, or made by another bootstrap server; ask for a new one")
	ErrExpired        = errors.New("this invitation has expired; ask for a new one")
	ErrUsed           = errors.New("this invitation has admitted all its devices; ask for a new one")
	ErrOtherName      = errors.New("this invitation is for another name; register the phone under that one")
	ErrTaken          = errors.New("this name is taken")
	ErrReserved       = errors.New("this name is reserved; choose another")
	ErrNotOpen        = errors.New("this overlay enrols by invitation only; ask its operator for a join link")
	ErrNotInvited     = errors.New("this device is not admitted under the name; ask for an invitation to add it")
	ErrQuota          = errors.New("the quota of names is used up")
	ErrTooManyDevices = errors.New("this person has as many devices as the charter allows")
	ErrProof          = errors.New("the proof of possession does not verify")
	ErrFirstDevice    = errors.New("the first device of this name must be running to admit this one, and must have been started once with the same join link")
	ErrNumberTaken    = errors.New("this number is taken")
	ErrOtherState     = errors.New("the state folder belongs to another overlay")
	ErrOtherRoot      = errors.New("this is not the root key of the overlay; nothing was changed")
	ErrReplacing      = errors.New("the issuing key was replaced a short time ago, and the one before is revoked")
	ErrReplaced       = errors.New("the issuing key before the present one was revoked")
	ErrRootOffline    = errors.New("the root key is offline; look for the file that it was moved to; 'secp2psip root renew FILE' uses it")
	ErrRevoked        = errors.New("this is revoked; ask the operator")
	ErrNotEnrolled    = errors.New("nobody is enrolled under this name")
	ErrNoDevice       = errors.New("this name has no such device; 'secp2psip devices NAME' lists them")
	ErrNoProof        = errors.New("there is no such evidence here; 'secp2psip evidence' lists what there is")
	ErrRevokedNode    = errors.New("this node is revoked already")
	ErrOwnProof       = errors.New("this evidence is against the overlay's own issuer or server: no member is to be revoked for it")
	ErrRecovering     = errors.New("the name gets its new key when that has been public for 24 hours; keep the adapter running")
	ErrObjected       = errors.New("somebody with the old key of this name objects to the new one; ask the operator")
	ErrTooSoon        = errors.New("not so soon again")
	ErrStarting       = errors.New("the bootstrap server is starting; try again in a moment")
)

// Reasons for refusals in the room "enrolment".
const (
	reasonInternal      = "internal"
	reasonBadProof      = "bad_proof"
	reasonBadDelegation = "bad_delegation"
	reasonStream        = "stream_refused"
)

// verdicts are the wire code and the counted reason of each refusal.
func verdicts() []verdict {
	return []verdict{
		{ErrBadInvitation, wire.CodeUnauthorized, "bad_invitation"},
		{ErrNotOpen, wire.CodeUnauthorized, "not_open"},
		{ErrNotInvited, wire.CodeUnauthorized, "not_invited"},
		{ErrProof, wire.CodeUnauthorized, reasonBadProof},
		{ErrExpired, wire.CodeGone, "expired_invitation"},
		{ErrUsed, wire.CodeGone, "used_invitation"},
		{ErrTaken, wire.CodeConflict, "name_taken"},
		{ErrNumberTaken, wire.CodeConflict, "number_taken"},
		{ErrOtherName, wire.CodeForbidden, "other_name"},
		{ErrReserved, wire.CodeForbidden, "name_reserved"},
		{ErrQuota, wire.CodeForbidden, "quota"},
		{ErrTooManyDevices, wire.CodeForbidden, "too_many_devices"},
		{ErrFirstDevice, wire.CodeUnavailable, "first_device"},
		{ErrRevoked, wire.CodeForbidden, "revoked"},
		{ErrRecovering, wire.CodeUnavailable, "recovering"},
		{ErrObjected, wire.CodeForbidden, "objected"},
		{ErrTooSoon, wire.CodeTooMany, "too_soon"},
		{ErrStarting, wire.CodeUnavailable, "starting"},
		{identity.ErrMalformed, wire.CodeMalformed, "malformed"},
		{identity.ErrOtherOverlay, wire.CodeForbidden, "other_overlay"},
	}
}

type verdict struct {
	err    error
	code   wire.Code
	reason string
}

// judge finds the refusal in an error; what is none is our own trouble.
func judge(err error) verdict {
	for _, v := range verdicts() {
		if errors.Is(err, v.err) {
			return v
		}
	}
	return verdict{err, wire.CodeInternal, reasonInternal}
}
