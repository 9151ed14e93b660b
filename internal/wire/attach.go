package wire

// Attach asks a member to be the sender's peer: to pass sealed packets on to it
// over the link that this came on. It is repeated to keep the lease. The answer
// is Attached, or an Error where the member has no place.
//
//	[ for: uint ≤600 ]
type Attach struct {
	_   struct{} `cbor:",toarray"`
	For uint16   // s, at most MaxLease; 0 ends the lease
}

// Type implements Message.
func (*Attach) Type() Type { return TypeAttach }

func (m *Attach) check() error {
	if m.For > MaxLease {
		return outOfBound("lease", int(m.For), MaxLease)
	}
	return nil
}
