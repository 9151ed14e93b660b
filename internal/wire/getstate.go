package wire

import (
	"encoding/binary"
	"hash/fnv"
)

// GetState asks for a node's ring pointers; the answer is State, or Unchanged
// where that would have the digest Seen, or Changed where Seen is the digest of
// an earlier one that the node remembers.
//
//	[ seen: uint ]
type GetState struct {
	_    struct{} `cbor:",toarray"`
	Seen uint64   // State.Digest of the last answer; 0 = tell all
}

// Type implements Message.
func (*GetState) Type() Type { return TypeGetState }

func (*GetState) check() error { return nil }

// Digest tells one state of a node from another: the 64-bit FNV-1a hash of the
// IDs and addresses in the order of the fields, each with its length before it.
// It is never 0.
func (m *State) Digest() uint64 {
	h := fnv.New64a()
	var buf [18]byte
	add := func(p *Peer) {
		_, _ = h.Write(p.ID[:])
		_, _ = h.Write(append(buf[:0], byte(len(p.Addrs))))
		for _, a := range p.Addrs {
			b := append(buf[:0], a.Addr().AsSlice()...)
			b = binary.BigEndian.AppendUint16(b, a.Port())
			_, _ = h.Write(b)
		}
	}
	add(&m.Self)
	if m.Pred != nil {
		add(m.Pred)
	}
	_, _ = h.Write(append(buf[:0], byte(len(m.Succ))))
	for i := range m.Succ {
		add(&m.Succ[i])
	}
	return max(h.Sum64(), 1)
}
