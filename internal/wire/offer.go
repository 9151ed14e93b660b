package wire

import "github.com/secp2psip/secp2psip/internal/identity"

// Offer asks a node which of some records it lacks, without sending them; the
// answer is Wanted. One without items asks the node to push what belongs at the
// asking node.
//
//	[ items: [ position: id, resource: id, part: uint, sequence: uint, digest: bytes ]*256 ]
type Offer struct {
	_     struct{} `cbor:",toarray"`
	Items []Offered
}

// Offered names a version of a record and one of the positions at which it
// belongs.
type Offered struct {
	_        struct{} `cbor:",toarray"`
	Position identity.NodeID
	Resource identity.NodeID
	Part     uint64
	Seq      uint64
	Digest   [OfferDigest]byte // the first OfferDigest bytes of SHA-256 over the record's signed part
}

// OfferDigest is the length of Offered.Digest.
const OfferDigest = 8

// Type implements Message.
func (*Offer) Type() Type { return TypeOffer }

func (m *Offer) check() error {
	if len(m.Items) > MaxOffers {
		return outOfBound("items", len(m.Items), MaxOffers)
	}
	return nil
}
