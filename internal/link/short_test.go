package link_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// Records come as they are held, whichever of the two ends has dialled and
// whoever has issued them.
func TestFetchedRecordsArriveWhole(t *testing.T) {
	o := newOverlay(t, "lan.example")
	a, b := o.start("a"), o.start("b")
	ours, theirs := o.issuer.Certificate(), newOverlay(t, "wan.example").issuer.Certificate()
	held := []record.Record{
		{Signed: []byte{1}, Chain: record.Chain{Certificates: [][]byte{ours}}},
		{Signed: []byte{2}, Chain: record.Chain{Certificates: [][]byte{{7}, ours}}},
		{Signed: []byte{3}, Chain: record.Chain{Certificates: [][]byte{theirs}}},
	}
	for _, n := range []*node{a, b} {
		n.onServe(func(context.Context, *link.Conn, wire.Message) wire.Message { return &wire.Fetched{Records: held} })
	}
	for _, ends := range [][2]*node{{a, b}, {b, a}} {
		answer := must(ends[0].Call(t.Context(), ends[1].peer(), &wire.Fetch{}))(t)
		got := answer.(*wire.Fetched).Records
		if len(got) != len(held) {
			t.Fatal(got)
		}
		for i := range held {
			want := must(wire.Encode(&wire.Store{Record: held[i]}))(t)
			if have, err := wire.Encode(&wire.Store{Record: got[i]}); err != nil || !bytes.Equal(have, want) {
				t.Errorf("record %d: %x, %v, want %x", i, have, err, want)
			}
		}
	}
}
