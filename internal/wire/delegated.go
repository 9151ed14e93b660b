package wire

import "github.com/secp2psip/secp2psip/internal/identity"

// Delegated answers Delegate.
//
//	[ delegation: signed ]
type Delegated struct {
	_          struct{}                  `cbor:",toarray"`
	Delegation identity.SignedDelegation // ≤ MaxDelegation
}

// Type implements Message.
func (*Delegated) Type() Type { return TypeDelegated }

func (m *Delegated) check() error { return checkFull("delegation", m.Delegation, MaxDelegation) }
