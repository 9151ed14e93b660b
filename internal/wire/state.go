package wire

// State answers GetState with the node's ring pointers.
//
//	[ self: peer, predecessor: peer?, successors: peer*32 ]
type State struct {
	_    struct{} `cbor:",toarray"`
	Self Peer
	Pred *Peer  // nil where the node knows none yet
	Succ []Peer // nearest first
}

// Type implements Message.
func (*State) Type() Type { return TypeState }

func (m *State) check() error {
	return firstError(m.Self.check(), checkPeer(m.Pred), checkPeers("successors", m.Succ, MaxPeers))
}
