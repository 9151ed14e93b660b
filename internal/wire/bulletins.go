package wire

import "github.com/secp2psip/secp2psip/internal/identity"

// GetBulletins asks for what the asker lacks of the overlay's bulletins; the
// answer is Bulletins. With Want it asks for those; else, where Digest is not
// the answerer's, for the IDs that follow After.
//
//	[ digest: bytes .size 32, after: bytes .size 32, want: (bytes .size 32)*15 ]
type GetBulletins struct {
	_      struct{}            `cbor:",toarray"`
	Digest identity.BulletinID // exclusive or of the IDs of all that the asker has
	After  identity.BulletinID
	Want   []identity.BulletinID
}

// Type implements Message.
func (*GetBulletins) Type() Type { return TypeGetBulletins }

func (m *GetBulletins) check() error { return checkWant(m.Want) }

func checkWant(ids []identity.BulletinID) error {
	if len(ids) > MaxItems {
		return outOfBound("want", len(ids), MaxItems)
	}
	return nil
}

// Bulletins answers GetBulletins: IDs in their order, or bulletins. Both are
// empty where the asker has all.
//
//	[ ids: (bytes .size 32)*1024, items: bulletin*15 ]
type Bulletins struct {
	_     struct{} `cbor:",toarray"`
	IDs   []identity.BulletinID
	Items []identity.SignedBulletin
}

// Type implements Message.
func (*Bulletins) Type() Type { return TypeBulletins }

func (m *Bulletins) check() error {
	if len(m.IDs) > MaxBulletinIDs {
		return outOfBound("ids", len(m.IDs), MaxBulletinIDs)
	}
	return checkBulletins(m.Items)
}

// Post tells a neighbour of bulletins that are new to the sender; the answer is
// Ack.
//
//	[ items: bulletin*15 ]
type Post struct {
	_     struct{} `cbor:",toarray"`
	Items []identity.SignedBulletin
}

// Type implements Message.
func (*Post) Type() Type { return TypePost }

func (m *Post) check() error { return checkBulletins(m.Items) }

// checkBulletins bounds each as a whole and in its parts. What they say is for
// identity.Board to find out.
func checkBulletins(items []identity.SignedBulletin) error {
	if len(items) > MaxItems {
		return outOfBound("bulletins", len(items), MaxItems)
	}
	for i := range items {
		s := &items[i]
		if size := s.Size(); size > identity.MaxBulletin {
			return outOfBound("bulletin", size, identity.MaxBulletin)
		}
		if len(s.Chain) > 2 {
			return outOfBound("chain", len(s.Chain), 2)
		}
		if err := firstError(checkFull("bulletin", s.Signed, identity.MaxSignedBulletin), checkChain(s.Chain)); err != nil {
			return err
		}
	}
	return nil
}
