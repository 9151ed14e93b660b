package wire

import "github.com/secp2psip/secp2psip/internal/identity"

// Find asks for the way to a position; the answer is Found.
//
//	[ target: id ]
type Find struct {
	_      struct{} `cbor:",toarray"`
	Target identity.NodeID
}

// Type implements Message.
func (*Find) Type() Type { return TypeFind }

func (*Find) check() error { return nil }
