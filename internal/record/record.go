package record

import (
	"fmt"

	"github.com/secp2psip/secp2psip/internal/canon"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/limits"
)

// Bounds of a record, in bytes and pieces.
const (
	MaxRecord       = limits.Record // encoded, with its chain
	MaxData         = limits.RecordData
	maxCertificates = 2
	maxDelegation   = 512
	contextRecord   = "secp2psip/1 record"
)

// Kind tells what a record says.
type Kind uint8

// The kinds of records. Revocation has its number and its place on the ring,
// and no rules yet: Verify refuses it.
const (
	KindRegistration Kind = 1
	KindShare        Kind = 2
	KindAccount      Kind = 3
	KindNumber       Kind = 4
	KindRevocation   Kind = 5
)

// String returns the name that enters the resource's hash, or "kind N".
func (k Kind) String() string {
	switch k {
	case KindRegistration:
		return "registration"
	case KindShare:
		return "keyshare"
	case KindAccount:
		return "account"
	case KindNumber:
		return "number"
	case KindRevocation:
		return "revocation"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Body is what is signed.
type Body struct {
	_         struct{} `cbor:",toarray"`
	AOR       string   // canonical, "sip:alice@lan.example"
	Kind      Kind
	Part      uint64 // device part of a registration; x of a share, 1 to n; else 0
	Seq       uint64 // rises with every version of (AOR, Kind, Part), from 1
	Time      int64  // of signing, Unix ms
	Lifetime  uint32 // with the holder, s
	Expires   int64  // whatever the holder's clock does, Unix ms; in (Time, Time + Lifetime]
	Tombstone bool   // says: deleted
	Data      []byte // at most MaxData; empty in a tombstone
}

// Record is a signed body and what is needed to check it.
type Record struct {
	_      struct{} `cbor:",toarray"`
	memo   *memo    // what reading it again and again would give; nil = nobody has verified it
	Signed []byte   // COSE_Sign1 over the canonical Body, or a batched one
	Chain  Chain
}

// Chain leads from a record's signature to the overlay's root key: account and
// issuing certificate and a delegation for a registration, else the issuing
// certificate.
type Chain struct {
	_            struct{} `cbor:",toarray"`
	Certificates [][]byte // X.509 DER
	Delegation   []byte   // identity.SignedDelegation, or empty
}

// Sign checks b and signs it. An Expires of 0 is set to Time + Lifetime. It
// does not check that chain leads to key; Verify does.
func Sign(b Body, key identity.PrivateKey, chain Chain) (Record, error) {
	payload, err := b.encode()
	if err != nil {
		return Record{}, err
	}
	signed, err := key.Sign(contextRecord, payload)
	if err != nil {
		return Record{}, err
	}
	return assemble(signed, chain)
}

// encode returns what is signed of a body.
func (b Body) encode() ([]byte, error) {
	if b.Expires == 0 {
		b.Expires = b.Time + int64(b.Lifetime)*1000
	}
	if err := b.validate(); err != nil {
		return nil, err
	}
	payload, err := canon.Marshal(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return payload, nil
}

func assemble(signed []byte, chain Chain) (Record, error) {
	r := Record{Signed: signed, Chain: chain}
	if r.Size() > MaxRecord {
		return Record{}, fmt.Errorf("%w: %d bytes", ErrTooLarge, r.Size())
	}
	return r, nil
}

// Body returns the body without checking the signature. The error wraps
// ErrMalformed or ErrTooLarge.
func (r Record) Body() (Body, error) {
	if r.known() {
		return r.memo.where.Body, nil
	}
	payload, _, err := r.open()
	if err != nil {
		return Body{}, err
	}
	return decodeBody(payload)
}

func decodeBody(payload []byte) (b Body, err error) {
	if err := canon.Unmarshal(payload, &b); err != nil {
		return Body{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return b, b.validate()
}

// open returns the encoded body, and, where the record is one of a batch, what
// makes it so.
func (r Record) open() (payload []byte, batch *batched, err error) {
	if len(r.Signed) > MaxRecord {
		return nil, nil, fmt.Errorf("%w: %d bytes signed", ErrTooLarge, len(r.Signed))
	}
	if isBatched(r.Signed) {
		if batch, err = readBatched(r.Signed); err != nil {
			return nil, nil, err
		}
		return batch.Body, batch, nil
	}
	if payload, err = canon.Payload(r.Signed); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return payload, nil, nil
}

// Size returns the length of the record's encoding in bytes.
func (r Record) Size() int {
	n := 1 + sizeOfString(len(r.Signed)) + 1 + sizeOfHead(len(r.Chain.Certificates)) + sizeOfString(len(r.Chain.Delegation))
	for _, c := range r.Chain.Certificates {
		n += sizeOfString(len(c))
	}
	return n
}

// sizeOfHead returns the length of a CBOR head with argument n (RFC 8949 §3).
func sizeOfHead(n int) int {
	switch {
	case n < 24:
		return 1
	case n < 1<<8:
		return 2
	case n < 1<<16:
		return 3
	}
	return 5
}

func sizeOfString(n int) int { return sizeOfHead(n) + n }

// validate checks what holds for all kinds.
func (b Body) validate() error {
	aor, err := identity.ParseAOR(b.AOR)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	switch {
	case aor.String() != b.AOR:
		return fmt.Errorf("%w: the name is not in canonical form", ErrMalformed)
	case b.Kind < KindRegistration || b.Kind > KindRevocation:
		return fmt.Errorf("%w: %s", ErrMalformed, b.Kind)
	case b.Seq == 0 || b.Time <= 0 || b.Lifetime == 0:
		return fmt.Errorf("%w: a sequence number, time or lifetime of 0", ErrMalformed)
	case b.Expires <= b.Time || b.Expires-b.Time > int64(b.Lifetime)*1000:
		return fmt.Errorf("%w: it must expire after its time and within its lifetime", ErrMalformed)
	case len(b.Data) > MaxData:
		return fmt.Errorf("%w: data of %d bytes", ErrTooLarge, len(b.Data))
	case b.Tombstone != (len(b.Data) == 0):
		return fmt.Errorf("%w: data in a tombstone, or none in a record", ErrMalformed)
	}
	return nil
}
