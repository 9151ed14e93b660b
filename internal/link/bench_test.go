package link_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/wire"
	"golang.org/x/time/rate"
)

func unlimited(c *link.Config) {
	c.Limits.RequestRate, c.Limits.Unvalidated = rate.Inf, 1<<20
	c.Limits.HandshakesPerLoopback, c.Limits.Handshakes = 1<<20, 1<<20
}

// One request and its answer on a connection that is there.
func BenchmarkCall(b *testing.B) {
	o := newOverlay(b, "lan.example")
	from, to := o.start("a", unlimited), o.start("b", unlimited)
	peer := to.peer()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := from.Call(context.Background(), peer, &wire.Ping{}); err != nil {
			b.Fatal(err)
		}
	}
}

// The same from eight goroutines at once.
func BenchmarkCallParallel(b *testing.B) {
	o := newOverlay(b, "lan.example")
	from, to := o.start("a", unlimited), o.start("b", unlimited)
	peer := to.peer()
	b.SetParallelism(4)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := from.Call(context.Background(), peer, &wire.Ping{}); err != nil {
				b.Error(err)
			}
		}
	})
}

// A full mutual handshake and the first request on it.
func BenchmarkHandshake(b *testing.B) {
	o := newOverlay(b, "lan.example")
	from, to := o.start("a", unlimited), o.start("b", unlimited)
	peer := to.peer()
	everything := func(*link.Conn) bool { return true }
	b.ReportAllocs()
	for b.Loop() {
		if _, err := from.Call(context.Background(), peer, &wire.Ping{}); err != nil {
			b.Fatal(err)
		}
		from.Drop(everything)
	}
}

// One frame there and back on a long stream.
func BenchmarkFrame(b *testing.B) {
	o := newOverlay(b, "lan.example")
	from, to := o.start("a", unlimited), o.start("b", unlimited)
	to.onStream(echo)
	ctx := context.Background()
	conn := must(from.Connect(ctx, to.peer()))(b)
	s := must(conn.Open(ctx, &wire.Carry{}))(b)
	defer s.Close()
	must(s.Recv(ctx))(b)
	frame := bytes.Repeat([]byte("x"), 800)
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Send(ctx, frame); err != nil {
			b.Fatal(err)
		}
		must(s.Recv(ctx))(b)
	}
}
