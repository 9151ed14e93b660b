package wire

import "github.com/secp2psip/secp2psip/internal/identity"

// GetMembers asks for descriptors of the members from From on, clockwise, and
// before To; of all where both are the same. The answer is Members.
//
// Without Digests it asks for a spread of them. With Digests, which say what
// the asker has, it asks for those that it lacks: the range is divided into
// equal parts, one for each four bytes, and a part's digest is the exclusive or
// of those of its members, of which each is the first four bytes of SHA-256 over
// the ID and the seq as eight bytes, big-endian.
//
//	[ from: id, to: id, digests: bytes ≤ 256, most: uint ≤ 384 ]
type GetMembers struct {
	_        struct{} `cbor:",toarray"`
	From, To identity.NodeID
	Digests  []byte
	Most     uint16 // descriptors in the answer
}

// Type implements Message.
func (*GetMembers) Type() Type { return TypeGetMembers }

func (m *GetMembers) check() error {
	if m.Most > MaxMembers {
		return outOfBound("members", int(m.Most), MaxMembers)
	}
	if len(m.Digests)%digestSize != 0 {
		return outOfBound("digests", len(m.Digests), len(m.Digests)/digestSize*digestSize)
	}
	return checkBytes("digests", m.Digests, MaxDigests)
}

// Members answers GetMembers.
//
//	[ known: uint32, share: uint16, session: uint32, descriptors: descriptor*384 ]
type Members struct {
	_       struct{} `cbor:",toarray"`
	Known   uint32   // members of the range that the answering node knows
	Share   uint16   // in 1024ths: of how much of the circle it tells when it has news of itself
	Session uint32   // s: how long members stay, as far as it can tell
	Descs   []Descriptor
}

// Type implements Message.
func (*Members) Type() Type { return TypeMembers }

func (m *Members) check() error { return checkDescriptors(m.Descs, MaxMembers) }
