package wire

// Joined answers Join.
//
//	[ accepted: bool, predecessor: peer?, successors: peer*32, closer: peer*32 ]
type Joined struct {
	_        struct{} `cbor:",toarray"`
	Accepted bool
	Pred     *Peer  // accepted: the answering node itself
	Succ     []Peer // accepted: its successors, which the joiner adopts whole
	Closer   []Peer // refused: nodes closer to the joiner's place
}

// Type implements Message.
func (*Joined) Type() Type { return TypeJoined }

func (m *Joined) check() error {
	return firstError(
		checkPeer(m.Pred),
		checkPeers("successors", m.Succ, MaxPeers),
		checkPeers("closer", m.Closer, MaxPeers),
	)
}
