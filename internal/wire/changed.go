package wire

import "slices"

// Changed answers a GetState whose Seen names one of the last states that this
// node has told: it says what is another now. Order has one byte for the
// predecessor and one for each successor: 0 is the seen state's self, 1 its
// predecessor, 2 and more its successors; from NewPeer on, the members of New.
// Self is as it was.
//
//	[ order: bytes ≤33, new: peer*32 ]
type Changed struct {
	_     struct{} `cbor:",toarray"`
	Order []byte
	New   []Peer
}

// NewPeer is the byte in Changed.Order that stands for the first member of New.
const NewPeer = 0x80

// Type implements Message.
func (*Changed) Type() Type { return TypeChanged }

func (m *Changed) check() error {
	if len(m.Order) > MaxPeers+1 {
		return outOfBound("order", len(m.Order), MaxPeers+1)
	}
	return checkPeers("new", m.New, MaxPeers)
}

// Since returns what is another in m than in an older state of the same node; nil
// where that is too much to be worth it.
func (m *State) Since(old *State) *Changed {
	if m.Pred == nil || old.Pred == nil || !samePeer(&m.Self, &old.Self) {
		return nil
	}
	was := append([]*Peer{&old.Self, old.Pred}, pointers(old.Succ)...)
	c := &Changed{}
	for _, p := range append([]*Peer{m.Pred}, pointers(m.Succ)...) {
		i := slices.IndexFunc(was, func(q *Peer) bool { return samePeer(p, q) })
		if i < 0 {
			i = NewPeer + len(c.New)
			c.New = append(c.New, *p)
		}
		c.Order = append(c.Order, byte(i))
	}
	if 2*len(c.New) > len(c.Order) {
		return nil
	}
	return c
}

// Apply returns the state that m makes of an older one; nil where the two do not
// fit.
func (m *Changed) Apply(old *State) *State {
	if old.Pred == nil || len(m.Order) == 0 {
		return nil
	}
	was := append([]*Peer{&old.Self, old.Pred}, pointers(old.Succ)...)
	out := &State{Self: old.Self, Succ: make([]Peer, 0, len(m.Order))}
	for k, b := range m.Order {
		var p *Peer
		switch i := int(b); {
		case i < len(was):
			p = was[i]
		case i >= NewPeer && i-NewPeer < len(m.New):
			p = &m.New[i-NewPeer]
		default:
			return nil
		}
		if k == 0 {
			out.Pred = p
			continue
		}
		out.Succ = append(out.Succ, *p)
	}
	return out
}

func pointers(peers []Peer) []*Peer {
	out := make([]*Peer, len(peers))
	for i := range peers {
		out[i] = &peers[i]
	}
	return out
}

func samePeer(a, b *Peer) bool {
	return a.ID == b.ID && a.Owner == b.Owner && slices.Equal(a.Addrs, b.Addrs)
}
