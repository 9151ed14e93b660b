package wire

// Challenge answers an Invite or a Text whose time lies outside the window:
// send it again with this nonce in it, and its age no longer matters.
//
//	[ nonce: bytes .size 16, now: time ]
type Challenge struct {
	_     struct{} `cbor:",toarray"`
	Nonce [16]byte // random, never zero; good once, on this link
	Now   int64    // overlay time of the answering node, ms
}

// Type implements Message.
func (*Challenge) Type() Type { return TypeChallenge }

func (*Challenge) check() error { return nil }
