package wire

import "net/netip"

// Dialed answers DialBack. An address that is in neither list has not been
// dialled: it is not the sender's own as far as the answering node can tell.
//
//	[ reached: addr*4, silent: addr*4, others: peer*4 ]
type Dialed struct {
	_       struct{}         `cbor:",toarray"`
	Reached []netip.AddrPort // where the sender answered, with its own certificate
	Silent  []netip.AddrPort // where it did not
	Others  []Peer           // members of other owners, to ask next
}

// Type implements Message.
func (*Dialed) Type() Type { return TypeDialed }

func (m *Dialed) check() error {
	if n := max(len(m.Reached), len(m.Silent)); n > MaxDialBack {
		return outOfBound("addresses", n, MaxDialBack)
	}
	return firstError(checkAddrs(m.Reached), checkAddrs(m.Silent), checkPeers("others", m.Others, MaxOthers))
}
