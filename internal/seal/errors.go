package seal

import "errors"

var (
	// ErrLocked: the secrets are sealed and no passphrase was given.
	ErrLocked = errors.New("the keys are locked by a passphrase, and none was given")
	// ErrPassphrase: the passphrase is not the one, or the header was altered.
	ErrPassphrase = errors.New("that is not the passphrase of these keys")
	// ErrHeader: bytes that are no header.
	ErrHeader = errors.New("not a header of sealed keys")
	// ErrAltered: a sealed value was altered, or belongs elsewhere.
	ErrAltered = errors.New("a sealed value does not open: the file was altered or is damaged")
	// ErrWeak: a new passphrase is too short or too long.
	ErrWeak = errors.New("a passphrase has 8 to 1024 bytes")
)
