package wire

// Notify tells a node that the sender takes it for its successor; the answer is
// Ack.
//
//	[ self: peer ]
type Notify struct {
	_    struct{} `cbor:",toarray"`
	Self Peer
}

// Type implements Message.
func (*Notify) Type() Type { return TypeNotify }

func (m *Notify) check() error { return m.Self.check() }
