package wire

// Found answers Find.
//
//	[ done: bool, peers: peer*32 ]
type Found struct {
	_    struct{} `cbor:",toarray"`
	Done bool
	// Peers are the responsible node and its successors where Done is set,
	// else the next hops, closest to the target first.
	Peers []Peer
}

// Type implements Message.
func (*Found) Type() Type { return TypeFound }

func (m *Found) check() error { return checkPeers("peers", m.Peers, MaxPeers) }
