package keyshare

import (
	"errors"
	"fmt"
	"time"

	"github.com/secp2psip/secp2psip/internal/canon"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
)

// Share is one share whose record has been verified: an issuer of the overlay
// signed it, and it is neither expired nor from the future. Not to be changed.
type Share struct {
	record.Share
	AOR    identity.AOR
	Part   uint64
	Seq    uint64
	Record record.Record

	Account *identity.AccountCertificate // of a key that follows another one, where the share came with it
}

// Verify checks the signature, the chain, the times and the form of a share.
// Whether it is a share that anybody asked for is for Collector to say. The
// error is a *BadShare without a holder.
func Verify(r record.Record, t *identity.Trust, now time.Time) (*Share, error) {
	v, err := record.Verify(r, t, now)
	if err != nil {
		return nil, refusal(r, err)
	}
	if v.Share == nil {
		return nil, &BadShare{Reason: ReasonNotShare}
	}
	return &Share{Share: *v.Share, AOR: v.AOR, Part: v.Body.Part, Seq: v.Body.Seq, Record: v.Record, Account: v.Account}, nil
}

// Claimed reads a share without checking who signed it. It serves to pass over
// what says nothing new, never to believe anything.
func Claimed(r record.Record) (aor string, s record.Share, err error) {
	b, err := r.Body()
	if err != nil {
		return "", s, err
	}
	if b.Kind != record.KindShare {
		return "", s, fmt.Errorf("%w: %s", ErrBadShare, ReasonNotShare)
	}
	err = canon.Unmarshal(b.Data, &s)
	return b.AOR, s, err
}

// refusal names what is wrong with a share that record.Verify refused.
func refusal(r record.Record, cause error) error {
	bad := &BadShare{Reason: ReasonMalformed, Err: cause}
	_, s, err := Claimed(r)
	if err == nil {
		bad.X = s.X
	}
	b, _ := r.Body() // Claimed has read it
	switch {
	case errors.Is(cause, identity.ErrExpired), errors.Is(cause, record.ErrFuture):
		bad.Reason = ReasonExpired
	case errors.Is(cause, identity.ErrUntrusted), errors.Is(cause, identity.ErrOtherOverlay), errors.Is(cause, identity.ErrRevoked):
		bad.Reason = ReasonSignature
	case err != nil:
	case s.X == 0:
		bad.Reason = ReasonZeroX
	case len(s.Y) != KeyLen:
		bad.Reason = ReasonLength
	case s.K < 2 || s.K > s.N:
		bad.Reason = ReasonThreshold
	case s.X > s.N:
		bad.Reason = ReasonXRange
	case uint64(s.X) != b.Part:
		bad.Reason = ReasonMisplaced
	}
	return bad
}
