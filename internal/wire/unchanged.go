package wire

// Unchanged answers a GetState whose Seen is still what the State would say.
//
//	[ ]
type Unchanged struct {
	_ struct{} `cbor:",toarray"`
}

// Type implements Message.
func (*Unchanged) Type() Type { return TypeUnchanged }

func (*Unchanged) check() error { return nil }
