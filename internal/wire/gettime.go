package wire

// GetTime asks for a node's overlay time; the answer is Time.
//
//	[ nonce: bytes .size 16 ]
type GetTime struct {
	_     struct{} `cbor:",toarray"`
	Nonce [16]byte // random; the answer repeats it
}

// Type implements Message.
func (*GetTime) Type() Type { return TypeGetTime }

func (*GetTime) check() error { return nil }
