package bootstrap

import "errors"

// Why an enrolment or an administrative request is refused. The text goes to
// the person who asked.
var (
	ErrBadInvitation  = errors.New("this invitation is not known here: it was mistyped, withdrawn, or made by another bootstrap server")
	ErrExpired        = errors.New("this invitation has expired; ask for a new one")
	ErrUsed           = errors.New("this invitation has admitted all its devices; ask for a new one")
	ErrOtherName      = errors.New("this invitation is for another name")
	ErrTaken          = errors.New("this name is taken")
	ErrReserved       = errors.New("this name is reserved")
	ErrNotOpen        = errors.New("this overlay enrols by invitation only; ask its operator for a join link")
	ErrQuota          = errors.New("the quota of names is used up for this adapter or address")
	ErrTooManyDevices = errors.New("this person has as many devices as the charter allows")
	ErrProof          = errors.New("the proof of possession does not verify")
	ErrFirstDevice    = errors.New("the first device of this name must be online to admit this one")
	ErrNumberTaken    = errors.New("this number is taken")
	ErrOtherState     = errors.New("the state folder belongs to another overlay")
	ErrRootOffline    = errors.New("the root key is offline; look for the file that it was moved to; 'secp2psip root renew FILE' uses it")
)
