package wire

// StoredMany answers StoreMany.
//
//	[ outcomes: bytes ]
type StoredMany struct {
	_        struct{} `cbor:",toarray"`
	Outcomes []byte   // a record.Outcome each, in the order of the items
}

// Type implements Message.
func (*StoredMany) Type() Type { return TypeStoredMany }

func (m *StoredMany) check() error { return checkBytes("outcomes", m.Outcomes, MaxItems) }
