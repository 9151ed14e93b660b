package wire

import (
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
)

// StoreMany hands over records to the node that has become responsible for
// them; the answer is StoredMany. MaxItems records of any size fit a message.
//
//	[ items: [ position: id, record ]*15 ]
type StoreMany struct {
	_     struct{} `cbor:",toarray"`
	Items []Placed
}

// Placed is a record and one of the positions at which it belongs.
type Placed struct {
	_        struct{} `cbor:",toarray"`
	Position identity.NodeID
	Record   record.Record // ≤ record.MaxRecord
}

// Type implements Message.
func (*StoreMany) Type() Type { return TypeStoreMany }

func (m *StoreMany) check() error {
	if len(m.Items) > MaxItems {
		return outOfBound("items", len(m.Items), MaxItems)
	}
	for i := range m.Items {
		if err := checkRecord(&m.Items[i].Record); err != nil {
			return err
		}
	}
	return nil
}
