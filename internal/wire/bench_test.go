package wire_test

import (
	"fmt"
	"testing"

	"github.com/secp2psip/secp2psip/internal/wire"
)

// hot are the messages of a look-up, a stored record and a call.
func hot(tb testing.TB) []wire.Message {
	var out []wire.Message
	for _, m := range samples(tb) {
		switch m.(type) {
		case *wire.Find, *wire.Found, *wire.Fetch, *wire.Fetched, *wire.Store, *wire.Stored, *wire.Invite, *wire.Redirect:
			out = append(out, m)
		}
	}
	return out
}

// BenchmarkCodec writes into a buffer that is used again and reads, as a link
// does. Writing allocates the buffer's head, which the encoder is given through
// an interface, and each address, which encodes itself into bytes of its own.
// Reading allocates the message and what it holds, and its encoding, with which
// what was read is compared.
func BenchmarkCodec(b *testing.B) {
	for i, m := range hot(b) {
		data := must[[]byte](b)(wire.Encode(m))
		buf := make([]byte, 0, 4096)
		b.Run(fmt.Sprintf("encode/%d-%s", i, m.Type()), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = wire.Append(buf, m)
			}
		})
		b.Run(fmt.Sprintf("decode/%d-%s", i, m.Type()), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = wire.Decode(data)
			}
		})
	}
}

// BenchmarkDescriptor is the signature of what gossip carries.
func BenchmarkDescriptor(b *testing.B) {
	node := key(b, "alice's node")
	d := must[wire.Descriptor](b)(wire.SignDescriptor(wire.Descriptor{Seq: 1_700_000_000_000, Lifetime: 3600}, "lan.example", node))
	b.Run("sign", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = wire.SignDescriptor(d, "lan.example", node)
		}
	})
	b.Run("verify", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := d.Verify("lan.example", node.Public()); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// What is measured today, with some slack: encoders keep buffers that the race
// detector throws away now and then.
func TestCodecAllocations(t *testing.T) {
	const slack = 3
	most := map[wire.Type][2]float64{ // of encoding and decoding
		wire.TypeFind: {1, 2}, wire.TypeFound: {5, 10}, wire.TypeFetch: {1, 3}, wire.TypeFetched: {5, 25},
		wire.TypeStore: {1, 8}, wire.TypeStored: {1, 2}, wire.TypeInvite: {1, 8}, wire.TypeRedirect: {1, 8},
	}
	for _, m := range hot(t) {
		data := must[[]byte](t)(wire.Encode(m))
		buf := make([]byte, 0, 4096)
		encode := testing.AllocsPerRun(100, func() { _, _ = wire.Append(buf, m) })
		decode := testing.AllocsPerRun(100, func() { _, _ = wire.Decode(data) })
		if most := most[m.Type()]; encode > most[0]+slack || decode > most[1]+slack {
			t.Errorf("%s: encoding allocates %v times, decoding %v times; at most %v with a slack of %d", m.Type(), encode, decode, most, slack)
		}
	}
}
