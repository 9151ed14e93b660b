package wire

// Leave tells a neighbour that the sender goes; the answer is Ack.
//
//	[ self: peer, predecessor: peer?, successors: peer*32 ]
type Leave struct {
	_    struct{} `cbor:",toarray"`
	Self Peer
	Pred *Peer  // the leaver's predecessor, for its successor to adopt
	Succ []Peer // the leaver's successors, for its predecessor to adopt
}

// Type implements Message.
func (*Leave) Type() Type { return TypeLeave }

func (m *Leave) check() error {
	return firstError(m.Self.check(), checkPeer(m.Pred), checkPeers("successors", m.Succ, MaxPeers))
}
