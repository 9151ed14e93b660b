package record

import "errors"

// The errors of this package. Others that it returns wrap
// identity.ErrMalformed, identity.ErrUntrusted, identity.ErrOtherOverlay or
// identity.ErrExpired.
var (
	// ErrMalformed: not a record, or one that breaks the rules of its kind.
	ErrMalformed = errors.New("malformed record")
	// ErrTooLarge: above MaxRecord or MaxData.
	ErrTooLarge = errors.New("record too large")
	// ErrFuture: issued more than identity.ClockSkew ahead of the clock.
	ErrFuture = errors.New("record from the future")
	// ErrStale: a newer one is held, or was until it expired.
	ErrStale = errors.New("older than the record held")
	// ErrConflict: another record with the same sequence number is held.
	ErrConflict = errors.New("another record with this sequence number is held")
	// ErrKeyConflict: the name is held with another account key.
	ErrKeyConflict = errors.New("the name is held with another key")
	// ErrQuota: the owner has used up what it may store here.
	ErrQuota = errors.New("the owner's quota is used up")
	// ErrDisk: what is held in memory could not be written to disk.
	ErrDisk = errors.New("records cannot be written to disk")
)
