package wire

import "github.com/secp2psip/secp2psip/internal/identity"

// Gossip brings news of members and asks to pass them on; the answer is Ack.
// A group's news are for the members from From on, clockwise, and before Until.
// Where From is the receiver's own ID, it is one of them; else it only passes
// them on. Where Until is the receiver's own ID, they are for all others.
//
//	[ groups: [ from: id, until: id, descriptors: descriptor*64, notices: notice*64 ]*64 ]
//
// At most 4·MaxNews descriptors and notices stand in one Gossip.
type Gossip struct {
	_      struct{} `cbor:",toarray"`
	Groups []News
}

// News is a group of news for the same members.
type News struct {
	_       struct{} `cbor:",toarray"`
	From    identity.NodeID
	Until   identity.NodeID
	Descs   []Descriptor
	Notices []Notice // in pairs, each of one death
}

// Type implements Message.
func (*Gossip) Type() Type { return TypeGossip }

func (m *Gossip) check() error {
	if len(m.Groups) > MaxNews {
		return outOfBound("groups", len(m.Groups), MaxNews)
	}
	total := 0
	for i := range m.Groups {
		g := &m.Groups[i]
		if total += len(g.Descs) + len(g.Notices); total > 4*MaxNews {
			return outOfBound("news", total, 4*MaxNews)
		}
		if err := firstError(checkDescriptors(g.Descs, MaxNews), checkNotices(g.Notices)); err != nil {
			return err
		}
	}
	return nil
}

func checkDescriptors(ds []Descriptor, most int) error {
	if len(ds) > most {
		return outOfBound("descriptors", len(ds), most)
	}
	for i := range ds {
		if err := ds[i].check(); err != nil {
			return err
		}
	}
	return nil
}

func checkNotices(ns []Notice) error {
	if len(ns) > MaxNews {
		return outOfBound("notices", len(ns), MaxNews)
	}
	for i := range ns {
		if err := ns[i].check(); err != nil {
			return err
		}
	}
	return nil
}
