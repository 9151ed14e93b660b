package wire

import (
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
)

// Store asks the node responsible for a position to keep a record; the answer
// is Stored.
//
//	[ position: id, record ]
type Store struct {
	_        struct{} `cbor:",toarray"`
	Position identity.NodeID
	Record   record.Record // ≤ record.MaxRecord
}

// Type implements Message.
func (*Store) Type() Type { return TypeStore }

func (m *Store) check() error { return checkRecord(&m.Record) }
