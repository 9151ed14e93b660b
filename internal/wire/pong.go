package wire

// Pong answers Ping.
//
//	[ now: time ]
type Pong struct {
	_    struct{} `cbor:",toarray"`
	Time int64    // overlay time of the answering node, ms
}

// Type implements Message.
func (*Pong) Type() Type { return TypePong }

func (*Pong) check() error { return nil }
