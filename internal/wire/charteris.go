package wire

import "github.com/secp2psip/secp2psip/internal/identity"

// CharterIs answers GetCharter.
//
//	[ charter: signed ]
type CharterIs struct {
	_       struct{}               `cbor:",toarray"`
	Charter identity.SignedCharter // ≤ MaxCharter; signed by the root key
}

// Type implements Message.
func (*CharterIs) Type() Type { return TypeCharterIs }

func (m *CharterIs) check() error { return checkFull("charter", m.Charter, MaxCharter) }
