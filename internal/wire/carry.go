package wire

// Carry opens a long-lived stream for one carried call; its frames are
// CarryFrames, or one Error that ends it.
//
//	[ token: bytes .size 16 ]
type Carry struct {
	_     struct{} `cbor:",toarray"`
	Token [16]byte // of the Redirect
}

// Type implements Message.
func (*Carry) Type() Type { return TypeCarry }

func (*Carry) check() error { return nil }
