package link_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// Who has a renewed certificate makes its connections anew, whoever had dialled
// them: new requests use the new ones on both sides, and a stream on the old one
// lasts.
func TestConnectionsAreMadeAnew(t *testing.T) {
	o := newOverlay(t, "lan.example")
	key := newKey(t)
	p := o.params("a", key)
	a := o.startWith(key, o.chain(p))
	never := func(identity.NodeID, [][]byte) bool { return false }
	echo := func(ctx context.Context, _ *link.Conn, _ wire.Message, s *link.Stream) {
		for {
			b, err := s.Recv(ctx)
			if errors.Is(err, io.EOF) || err != nil || s.Send(ctx, b) != nil {
				return
			}
		}
	}
	for _, dials := range []bool{true, false} {
		b := o.start(map[bool]string{true: "dialled", false: "dials"}[dials])
		b.handler.onStream(echo)
		var old *link.Conn
		if dials {
			old = must(a.Connect(testCtx(t), b.peer()))(t)
		} else {
			must(b.Connect(testCtx(t), a.peer()))(t)
			eventually(t, "b's connection is a's, too", func() bool { return a.Direct(b.ID()) != nil })
			old = a.Direct(b.ID())
		}
		if len(a.Outdated(never)) != 0 {
			t.Error("outdated before there is another certificate")
		}
		s := must(old.Open(testCtx(t), &wire.Ping{}))(t)
		p.NotAfter = p.NotAfter.Add(time.Hour)
		renewed := o.chain(p)
		if err := a.SetIdentity(renewed); err != nil {
			t.Fatal(err)
		}
		if due := a.Outdated(never); !slices.Contains(due, old) {
			t.Fatalf("%d connections are outdated", len(due))
		}
		fresh := must(a.Renew(testCtx(t), old, nil))(t)
		if fresh == old || old.Successor() != fresh || must(a.Connect(testCtx(t), b.peer()))(t) != fresh || slices.Contains(a.Outdated(never), fresh) {
			t.Error("the new connection does not take the old one's place")
		}
		eventually(t, "b calls on the new one", func() bool {
			c, err := b.Connect(testCtx(t), a.peer())
			return err == nil && string(c.Certificate().DER) == string(renewed[0])
		})
		if err := s.Send(testCtx(t), []byte("still here")); err != nil {
			t.Error(err)
		}
		if got, err := s.Recv(testCtx(t)); err != nil || string(got) != "still here" {
			t.Errorf("%q, %v", got, err)
		}
		_ = s.Close()
		always := func(id identity.NodeID, _ [][]byte) bool { return id == b.ID() }
		if due := a.Outdated(always); !slices.Contains(due, fresh) || slices.Contains(due, old) {
			t.Errorf("%d connections whose other side is outdated", len(due))
		}
	}
}

// However often connections to one node are made anew, the one with a stream on
// it is not the one that has to go.
func TestConnectionInUseOutlivesNewOnes(t *testing.T) {
	o := newOverlay(t, "lan.example")
	a, b := o.start("a"), o.start("b")
	b.handler.onStream(func(ctx context.Context, _ *link.Conn, _ wire.Message, s *link.Stream) { _, _ = s.Recv(ctx) })
	used := must(a.Connect(testCtx(t), b.peer()))(t)
	s := must(used.Open(testCtx(t), &wire.Ping{}))(t)
	defer s.Close()
	last := used
	for range 6 {
		last = must(a.Renew(testCtx(t), last, nil))(t)
	}
	select {
	case <-used.Done():
		t.Error("the connection in use was closed for idle ones")
	default:
	}
	if used.Successor() == nil {
		t.Error("it does not know where to go on")
	}
}
