package wire

// GetState asks for a node's ring pointers; the answer is State.
//
//	[ ]
type GetState struct {
	_ struct{} `cbor:",toarray"`
}

// Type implements Message.
func (*GetState) Type() Type { return TypeGetState }

func (*GetState) check() error { return nil }
