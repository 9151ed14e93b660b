package wire

// GetCharter asks for the overlay's charter; the answer is CharterIs.
//
//	[ ]
type GetCharter struct {
	_ struct{} `cbor:",toarray"`
}

// Type implements Message.
func (*GetCharter) Type() Type { return TypeGetCharter }

func (*GetCharter) check() error { return nil }
