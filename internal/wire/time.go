package wire

// Time answers GetTime.
//
//	[ nonce: bytes .size 16, now: time ]
type Time struct {
	_     struct{} `cbor:",toarray"`
	Nonce [16]byte // of the question
	Now   int64    // overlay time of the answering node, ms
}

// Type implements Message.
func (*Time) Type() Type { return TypeTime }

func (*Time) check() error { return nil }
