package wire

// Ack answers a request that asks for nothing.
//
//	[ ]
type Ack struct {
	_ struct{} `cbor:",toarray"`
}

// Type implements Message.
func (*Ack) Type() Type { return TypeAck }

func (*Ack) check() error { return nil }
