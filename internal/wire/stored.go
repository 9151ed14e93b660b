package wire

// Stored answers Store.
//
//	[ outcome: uint, sequence: uint ]
type Stored struct {
	_       struct{} `cbor:",toarray"`
	Outcome uint8    // a record.Outcome
	Seq     uint64   // of the record that the node now holds
}

// Type implements Message.
func (*Stored) Type() Type { return TypeStored }

func (*Stored) check() error { return nil }
