package wire

// Join asks a member to become the predecessor of the sender; the answer is
// Joined.
//
//	[ self: peer ]
type Join struct {
	_    struct{} `cbor:",toarray"`
	Self Peer
}

// Type implements Message.
func (*Join) Type() Type { return TypeJoin }

func (m *Join) check() error { return m.Self.check() }
