package wire

// Ping asks whether a node is there; the answer is Pong.
//
//	[ ]
type Ping struct {
	_ struct{} `cbor:",toarray"`
}

// Type implements Message.
func (*Ping) Type() Type { return TypePing }

func (*Ping) check() error { return nil }
