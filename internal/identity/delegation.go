package identity

import (
	"fmt"
	"time"

	"github.com/secp2psip/secp2psip/internal/canon"
)

const (
	contextDelegation = "secp2psip/1 delegation"
	maxDelegation     = 512 // bytes, signed
)

// Delegation is an account's word that a device key, at a node, speaks for the
// account and writes its part of the registration. It travels as a CBOR array
// of its fields in this order, signed by the account key.
type Delegation struct {
	_       struct{} `cbor:",toarray"`
	AOR     string   // canonical, "sip:alice@lan.example"
	Device  PublicKey
	Node    NodeID
	Part    uint64 // of the registration
	Issued  int64  // Unix ms
	Expires int64  // Unix ms
}

// SignedDelegation is a delegation as a COSE_Sign1 by the account key.
type SignedDelegation []byte

// Sign checks d and signs it with the account's key.
func (d Delegation) Sign(account PrivateKey) (SignedDelegation, error) {
	if err := d.validate(); err != nil {
		return nil, err
	}
	payload, err := canon.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return account.Sign(contextDelegation, payload)
}

// Verify returns the delegation if account signed it and now lies from
// ClockSkew before Issued to grace after Expires; a zero now skips that. The
// error wraps ErrMalformed, ErrUntrusted or ErrExpired.
func (s SignedDelegation) Verify(account PublicKey, grace time.Duration, now time.Time) (Delegation, error) {
	if len(s) > maxDelegation {
		return Delegation{}, fmt.Errorf("%w: delegation of %d bytes", ErrMalformed, len(s))
	}
	payload, err := account.Verify(contextDelegation, s)
	if err != nil {
		return Delegation{}, fmt.Errorf("delegation: %w", err)
	}
	var d Delegation
	if err := canon.Unmarshal(payload, &d); err != nil {
		return Delegation{}, fmt.Errorf("%w: delegation: %w", ErrMalformed, err)
	}
	if err := d.validate(); err != nil {
		return Delegation{}, err
	}
	if err := d.checkTime(grace, now); err != nil {
		return Delegation{}, err
	}
	return d, nil
}

func (d Delegation) validate() error {
	aor, err := ParseAOR(d.AOR)
	if err != nil {
		return err
	}
	if aor.String() != d.AOR || d.Device.IsZero() || d.Issued <= 0 || d.Expires <= d.Issued {
		return fmt.Errorf("%w: delegation", ErrMalformed)
	}
	return nil
}

func (d Delegation) checkTime(grace time.Duration, now time.Time) error {
	return checkWindow("delegation", time.UnixMilli(d.Issued), time.UnixMilli(d.Expires), grace, now)
}
