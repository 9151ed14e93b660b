package wire

import "net/netip"

// Attached answers Attach.
//
//	[ for: uint ≤600, addresses: addr*8 ]
type Attached struct {
	_     struct{}         `cbor:",toarray"`
	For   uint16           // s, at most MaxLease: how long the lease lasts; 0 = it has ended
	Addrs []netip.AddrPort // where others reach the answering member
}

// Type implements Message.
func (*Attached) Type() Type { return TypeAttached }

func (m *Attached) check() error {
	if m.For > MaxLease {
		return outOfBound("lease", int(m.For), MaxLease)
	}
	return checkAddrs(m.Addrs)
}
