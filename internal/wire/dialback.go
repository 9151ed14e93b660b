package wire

import "net/netip"

// The bounds of what nodes ask each other about being reached.
const (
	MaxDialBack = 4       // addresses in one DialBack
	MaxOthers   = 4       // peers in one Dialed
	MaxPadding  = 4 << 10 // bytes in one DialBack
	MaxLease    = 600     // s, of an attachment
)

// DialBack asks the receiver to dial the sender at addresses that it is about
// to publish, from where the sender has never been sent to; the answer is
// Dialed. No more than three times the bytes of this message are sent to
// addresses that do not answer, so its padding is what a dial may cost.
//
//	[ addresses: addr*4, padding: bytes ≤4096 ]
type DialBack struct {
	_       struct{} `cbor:",toarray"`
	Addrs   []netip.AddrPort
	Padding []byte // zeros; their value means nothing
}

// Type implements Message.
func (*DialBack) Type() Type { return TypeDialBack }

func (m *DialBack) check() error {
	if len(m.Addrs) > MaxDialBack {
		return outOfBound("addresses", len(m.Addrs), MaxDialBack)
	}
	return firstError(checkAddrs(m.Addrs), checkBytes("padding", m.Padding, MaxPadding))
}
