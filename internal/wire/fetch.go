package wire

import "github.com/secp2psip/secp2psip/internal/identity"

// Fetch asks for the records of a resource at a position; the answer is
// Fetched.
//
//	[ position: id, resource: id, part: uint? ]
type Fetch struct {
	_        struct{}        `cbor:",toarray"`
	Position identity.NodeID // where it lies: one of the resource's replicas
	Resource identity.NodeID // record.Resource(name, kind)
	Part     *uint64         // nil = every part
}

// Type implements Message.
func (*Fetch) Type() Type { return TypeFetch }

func (*Fetch) check() error { return nil }
