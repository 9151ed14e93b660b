package wire_test

import (
	"errors"
	"net/netip"
	"slices"
	"testing"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// TestSize: what is said of a message's length without making its encoding is what
// the encoder makes of it, at both sides of every step of a CBOR head's length.
func TestSize(t *testing.T) {
	all := samples(t)
	for _, n := range []int{0, 1, 23, 24, 32} {
		peers := slices.Repeat([]wire.Peer{peerA}, n)
		all = append(all, &wire.State{Self: peerB, Succ: peers}, &wire.Changed{Order: make([]byte, n), New: peers},
			&wire.Found{Peers: peers}, &wire.Joined{Succ: peers, Closer: peers},
			&wire.Gossip{Groups: []wire.News{{Descs: slices.Repeat([]wire.Descriptor{descriptor(t)}, n), Notices: slices.Repeat([]wire.Notice{notice(t)}, n)}}},
			&wire.Gossip{Groups: make([]wire.News, n)})
	}
	for _, n := range []int{0, 3, 15} {
		placed := slices.Repeat([]wire.Placed{{Position: peerA.ID, Record: rec}}, n)
		all = append(all, &wire.StoreMany{Items: placed}, &wire.StoredMany{Outcomes: make([]byte, n)}, &wire.Fetched{Records: slices.Repeat([]record.Record{rec}, n)})
	}
	for _, n := range []int{0, 23, 24, 255, 256} {
		all = append(all, &wire.Offer{Items: make([]wire.Offered, n)}, &wire.Wanted{Answers: make([]byte, n)},
			&wire.GetMembers{Digests: make([]byte, n/4*4)}, &wire.Members{Descs: slices.Repeat([]wire.Descriptor{descriptor(t)}, n)})
	}
	for _, v := range []uint64{0, 23, 24, 255, 256, 1<<16 - 1, 1 << 16, 1<<32 - 1, 1 << 32, 1<<64 - 1} {
		all = append(all, &wire.GetState{Seen: v}, &wire.Stored{Outcome: uint8(v), Seq: v}, &wire.Fetch{Part: &v},
			&wire.Offer{Items: []wire.Offered{{Part: v, Seq: v}}}, &wire.Members{Known: uint32(v), Share: uint16(v), Session: uint32(v)})
	}
	for _, m := range all {
		b, err := wire.Encode(m)
		size, errSize := wire.Size(m)
		if err != nil || errSize != nil || size != len(b) {
			t.Errorf("%s %+v: %d bytes are said to be %d: %v, %v", m.Type(), m, len(b), size, err, errSize)
		}
	}
}

// TestSizeRefuses: what the encoder refuses has no size.
func TestSizeRefuses(t *testing.T) {
	bad := wire.Peer{ID: identity.NodeID{1}, Addrs: []netip.AddrPort{{}}}
	for _, m := range []wire.Message{&wire.Notify{Self: bad}, &wire.Wanted{Answers: make([]byte, wire.MaxOffers+1)}, &wire.Error{Reason: "\n"}} {
		if size, err := wire.Size(m); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("%s: %d, %v", m.Type(), size, err)
		}
	}
}
