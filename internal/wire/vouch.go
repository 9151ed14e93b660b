package wire

import (
	"fmt"

	"github.com/secp2psip/secp2psip/internal/identity"
)

// Vouch asks a holder for a signed Statement on one slot of its store. The
// answer is Vouched.
//
//	[ resource: id, part: uint, nonce: bytes .size 32 ]
type Vouch struct {
	_        struct{} `cbor:",toarray"`
	Resource identity.NodeID
	Part     uint64
	Nonce    [32]byte
}

// Type implements Message.
func (*Vouch) Type() Type { return TypeVouch }

func (*Vouch) check() error { return nil }

// The outcomes in a Vouched.
const (
	VouchedSilent = 0 // of Peek: the holder did not answer
	VouchedHeld   = 1 // it has the record, or a newer one
	VouchedNot    = 2 // it has not
)

// Vouched answers Vouch with the holder's signed Statement, and Peek with what
// the holder answered: where it said that it has not got the record, with the
// Statement that it was asked for then, empty if it gave none.
//
//	[ outcome: uint ≤2, statement: signed ≤512 or empty ]
type Vouched struct {
	_         struct{} `cbor:",toarray"`
	Outcome   uint8
	Statement []byte
}

// Type implements Message.
func (*Vouched) Type() Type { return TypeVouched }

func (m *Vouched) check() error {
	if m.Outcome > VouchedNot {
		return fmt.Errorf("%w: the outcome %d", ErrMalformed, m.Outcome)
	}
	return checkBytes("statement", m.Statement, MaxStatement)
}
