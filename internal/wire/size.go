package wire

import (
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
)

// Size returns the length of m's encoding in bytes: for the messages that a ring
// is full of without making it. Errors as Encode's.
func Size(m Message) (int, error) {
	body := bodySize(m)
	if body == 0 {
		out, err := Append(nil, m)
		return len(out), err
	}
	if err := m.check(); err != nil {
		return 0, err
	}
	return 1 + uintSize(uint64(m.Type())) + body, nil // a message within its bounds is never too large
}

// The lengths of what is always as long. A list or a body of a few fields has a
// head of one byte.
const (
	headSize = 1
	idSize   = 1 + identity.NodeIDLen
	tagSize  = 1 + len(identity.OwnerTag{})
	flagSize = 1
)

// bodySize returns the length of a message's body, 0 where only encoding it tells.
func bodySize(m Message) int {
	switch m := m.(type) {
	case *Ack, *Unchanged:
		return headSize
	case *GetState:
		return headSize + uintSize(m.Seen)
	case *State:
		return headSize + m.Self.size() + orNil(m.Pred) + peersSize(m.Succ)
	case *Changed:
		return headSize + stringSize(len(m.Order)) + peersSize(m.New)
	case *Find:
		return headSize + idSize
	case *Found:
		return headSize + flagSize + peersSize(m.Peers)
	case *Join:
		return headSize + m.Self.size()
	case *Joined:
		return headSize + flagSize + orNil(m.Pred) + peersSize(m.Succ) + peersSize(m.Closer)
	case *Notify:
		return headSize + m.Self.size()
	case *Gossip:
		return headSize + gossipSize(m)
	case *GetMembers:
		return headSize + 2*idSize + stringSize(len(m.Digests)) + uintSize(uint64(m.Most))
	case *Members:
		return headSize + uintSize(uint64(m.Known)) + uintSize(uint64(m.Share)) + uintSize(uint64(m.Session)) + descriptorsSize(m.Descs)
	}
	return recordsBodySize(m)
}

// recordsBodySize is bodySize for the messages about records.
func recordsBodySize(m Message) int {
	switch m := m.(type) {
	case *Offer:
		size := headSize + uintSize(uint64(len(m.Items)))
		for i := range m.Items {
			size += headSize + 2*idSize + uintSize(m.Items[i].Part) + uintSize(m.Items[i].Seq) + 1 + OfferDigest
		}
		return size
	case *Wanted:
		return headSize + stringSize(len(m.Answers))
	case *Store:
		return headSize + idSize + m.Record.Size()
	case *Stored:
		return headSize + uintSize(uint64(m.Outcome)) + uintSize(m.Seq)
	case *StoreMany:
		size := headSize + uintSize(uint64(len(m.Items)))
		for i := range m.Items {
			size += headSize + idSize + m.Items[i].Record.Size()
		}
		return size
	case *StoredMany:
		return headSize + stringSize(len(m.Outcomes))
	case *Fetch:
		size := headSize + 2*idSize + 1
		if m.Part != nil {
			size += uintSize(*m.Part) - 1
		}
		return size
	case *Fetched:
		return headSize + recordsSize(m.Records) + orNil(m.Pred) + orNil(m.Succ0)
	}
	return 0
}

// stringSize is the length of a byte string of n bytes with its head.
func stringSize(n int) int { return uintSize(uint64(n)) + n }

func (p *Peer) size() int {
	size := headSize + idSize + tagSize + uintSize(uint64(len(p.Addrs)))
	for _, a := range p.Addrs {
		size += addrSize(a)
	}
	return size
}

// orNil is the length of a peer that may be missing.
func orNil(p *Peer) int {
	if p == nil {
		return 1
	}
	return p.size()
}

func peersSize(peers []Peer) int {
	size := uintSize(uint64(len(peers)))
	for i := range peers {
		size += peers[i].size()
	}
	return size
}

func descriptorsSize(ds []Descriptor) int {
	size := uintSize(uint64(len(ds)))
	for i := range ds {
		size += ds[i].Size()
	}
	return size
}

func recordsSize(rs []record.Record) int {
	size := uintSize(uint64(len(rs)))
	for i := range rs {
		size += rs[i].Size()
	}
	return size
}

func gossipSize(m *Gossip) int {
	size := uintSize(uint64(len(m.Groups)))
	for i := range m.Groups {
		g := &m.Groups[i]
		size += headSize + 2*idSize + descriptorsSize(g.Descs) + uintSize(uint64(len(g.Notices)))
		for k := range g.Notices {
			size += g.Notices[k].Size()
		}
	}
	return size
}
