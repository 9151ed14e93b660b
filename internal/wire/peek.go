package wire

import "github.com/secp2psip/secp2psip/internal/identity"

// Peek asks a member to fetch what lies at a position from one holder, as for
// itself, and to say whether the record was there. So an owner sees what others
// are answered. The answer is Vouched.
//
//	[ position: id, resource: id, part: uint, sequence: uint, holder: id, nonce: bytes .size 32 ]
type Peek struct {
	_        struct{} `cbor:",toarray"`
	Position identity.NodeID
	Resource identity.NodeID
	Part     uint64
	Seq      uint64 // that the holder must have at least
	Holder   identity.NodeID
	Nonce    [32]byte // for the Statement
}

// Type implements Message.
func (*Peek) Type() Type { return TypePeek }

func (*Peek) check() error { return nil }
