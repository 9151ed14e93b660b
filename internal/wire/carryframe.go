package wire

// CarryFrame is one frame of a carried call.
//
//	[ data: bytes ]
type CarryFrame struct {
	_    struct{} `cbor:",toarray"`
	Data []byte   // ≤ MaxCarry
}

// Type implements Message.
func (*CarryFrame) Type() Type { return TypeCarryFrame }

func (m *CarryFrame) check() error { return checkBytes("data", m.Data, MaxCarry) }
