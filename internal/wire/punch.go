package wire

import "net/netip"

// The bounds of what two nodes tell each other about their addresses.
const (
	MaxCandidates   = 8    // addresses in one Punch or Punched
	MaxPunchPadding = 1024 // bytes
)

// Punch asks the node at the other end of a connection whose packets a peer
// passes on to open the way between the two: both send STUN binding requests
// from their ports to the addresses of the other until one comes back. The
// answer is Punched. No more than three times the bytes of this message are
// sent because of it, so its padding is what that may cost.
//
//	[ addresses: addr*8, padding: bytes ≤1024 ]
type Punch struct {
	_       struct{}         `cbor:",toarray"`
	Addrs   []netip.AddrPort // where the sender may be reached
	Padding []byte           // zeros; their value means nothing
}

// Type implements Message.
func (*Punch) Type() Type { return TypePunch }

func (m *Punch) check() error {
	if len(m.Addrs) > MaxCandidates {
		return outOfBound("addresses", len(m.Addrs), MaxCandidates)
	}
	return firstError(checkAddrs(m.Addrs), checkBytes("padding", m.Padding, MaxPunchPadding))
}

// Punched answers Punch: the answering node has begun to send to the addresses
// that it was given.
//
//	[ addresses: addr*8 ]
type Punched struct {
	_     struct{}         `cbor:",toarray"`
	Addrs []netip.AddrPort // where the answering node may be reached
}

// Type implements Message.
func (*Punched) Type() Type { return TypePunched }

func (m *Punched) check() error {
	if len(m.Addrs) > MaxCandidates {
		return outOfBound("addresses", len(m.Addrs), MaxCandidates)
	}
	return checkAddrs(m.Addrs)
}
