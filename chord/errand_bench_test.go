package chord

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// direct calls the nodes of a benchmark without a network.
type direct struct {
	from  wire.Peer
	nodes map[ID]*Node
}

func (d direct) Call(ctx context.Context, to wire.Peer, req wire.Message) (wire.Message, error) {
	return d.nodes[to.ID].Serve(ctx, d.from, req), nil
}

// benchRing runs a ring of n nodes that call each other directly.
func benchRing(b *testing.B, n int) []*Node {
	b.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	b.Cleanup(cancel)
	known := map[ID]*Node{}
	var nodes []*Node
	for i := range n {
		self := vpeer(ID{byte(i * 256 / n), 1}, byte(i))
		node, err := New(Config{Self: self, Transport: direct{self, known}, Records: newMemory(), Charter: testCharter, Seed: uint64(i) + 1})
		if err != nil {
			b.Fatal(err)
		}
		known[self.ID] = node
		nodes = append(nodes, node)
	}
	for i, node := range nodes {
		go func() { _ = node.Run(ctx) }()
		if i == 0 {
			node.Create()
		} else if err := node.Join(ctx, []wire.Peer{nodes[0].cfg.Self}); err != nil {
			b.Fatal(err)
		}
	}
	for _, node := range nodes {
		for st := node.Status(); !st.Whole || st.Members < n; st = node.Status() {
			<-time.After(10 * time.Millisecond)
		}
	}
	return nodes
}

// BenchmarkErrands is what a look-up, a fetch and a store cost beside the
// network.
func BenchmarkErrands(b *testing.B) {
	nodes := benchRing(b, 16)
	var recs []stored
	for i := range 64 {
		body := record.Body{AOR: fmt.Sprintf("sip:u%d@lan.example", i), Kind: record.KindShare, Part: 1, Seq: 1, Time: 1, Lifetime: 900, Expires: 900_001, Data: []byte{1}}
		recs = append(recs, signed(b, body))
		if _, err := nodes[0].Store(b.Context(), recs[i].pos, recs[i].rec); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("store", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			s := recs[i%len(recs)]
			if _, err := nodes[i%len(nodes)].Store(b.Context(), s.pos, s.rec); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("fetch", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			s := recs[i%len(recs)]
			if a, err := nodes[i%len(nodes)].Fetch(b.Context(), s.pos, s.res, nil); err != nil || len(a.Records) == 0 {
				b.Fatal(err)
			}
		}
	})
	b.Run("lookup", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if _, err := nodes[i%len(nodes)].Lookup(b.Context(), recs[i%len(recs)].pos); err != nil {
				b.Fatal(err)
			}
		}
	})
}
