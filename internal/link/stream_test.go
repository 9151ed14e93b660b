package link_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// echo sends every frame back, after the token of the opening message.
func echo(ctx context.Context, _ *link.Conn, open wire.Message, s *link.Stream) {
	token := open.(*wire.Carry).Token
	if s.Send(ctx, token[:]) != nil {
		return
	}
	for {
		b, err := s.Recv(ctx)
		if err != nil || s.Send(ctx, b) != nil {
			return
		}
	}
}

func TestStream(t *testing.T) {
	o := newOverlay(t, "lan.example")
	a, b := o.start("a"), o.start("b")
	b.onStream(echo)
	ctx := testCtx(t)
	c := must(a.Connect(ctx, b.peer()))(t)
	s := must(c.Open(ctx, &wire.Carry{Token: [16]byte{7}}))(t)
	if got := must(s.Recv(ctx))(t); !bytes.Equal(got, append([]byte{7}, make([]byte, 15)...)) {
		t.Errorf("%x", got)
	}
	for _, size := range []int{0, 1, 4095, 4096, 4097, 8192, 65535, link.MaxFrame} {
		want := bytes.Repeat([]byte{byte(size)}, size)
		if err := s.Send(ctx, want); err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		if got := must(s.Recv(ctx))(t); !bytes.Equal(got, want) {
			t.Fatalf("%d bytes come back as %d", size, len(got))
		}
	}
	if err := s.Send(ctx, make([]byte, link.MaxFrame+1)); !errors.Is(err, link.ErrTooLarge) {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error("closed twice:", err)
	}
	if err := s.Send(ctx, []byte("x")); err == nil {
		t.Error("sent after Close")
	}
	eventually(t, "the connection is idle", func() bool { return a.Peers()[0].Busy == 0 && b.Peers()[0].Busy == 0 })
}

// What one side has sent before it closes arrives, and then the end.
func TestStreamEnd(t *testing.T) {
	o := newOverlay(t, "lan.example")
	a, b := o.start("a"), o.start("b")
	b.onStream(func(ctx context.Context, _ *link.Conn, _ wire.Message, s *link.Stream) {
		for i := range 100 {
			_ = s.Send(ctx, bytes.Repeat([]byte{byte(i)}, 500))
		}
	})
	ctx := testCtx(t)
	s := must(must(a.Connect(ctx, b.peer()))(t).Open(ctx, &wire.Carry{}))(t)
	defer s.Close()
	for i := range 100 {
		if got := must(s.Recv(ctx))(t); len(got) != 500 || got[0] != byte(i) {
			t.Fatalf("frame %d: %d bytes of %d", i, len(got), got[0])
		}
	}
	if _, err := s.Recv(ctx); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

// The same towards the handler, with its own context.
func TestStreamEndAtHandler(t *testing.T) {
	o := newOverlay(t, "lan.example")
	a, b := o.start("a"), o.start("b")
	received := make(chan int, 1)
	b.onStream(func(ctx context.Context, _ *link.Conn, _ wire.Message, s *link.Stream) {
		n := 0
		for {
			if _, err := s.Recv(ctx); err != nil {
				if !errors.Is(err, io.EOF) {
					t.Error(err)
				}
				received <- n
				return
			}
			n++
		}
	})
	ctx := testCtx(t)
	c := must(a.Connect(ctx, b.peer()))(t)
	for range 20 {
		s := must(c.Open(ctx, &wire.Carry{}))(t)
		for range 30 {
			if err := s.Send(ctx, make([]byte, 1000)); err != nil {
				t.Fatal(err)
			}
		}
		_ = s.Close()
		if n := <-received; n != 30 {
			t.Fatalf("%d frames of 30", n)
		}
	}
}

// A Recv that was given up half-way through a frame loses nothing of it.
func TestStreamRecvInterrupted(t *testing.T) {
	o := newOverlay(t, "lan.example")
	b := o.start("b")
	give, up, got := make(chan struct{}), make(chan error), make(chan []byte)
	b.onStream(func(ctx context.Context, _ *link.Conn, _ wire.Message, s *link.Stream) {
		short, cancel := context.WithCancel(ctx)
		defer cancel()
		go func() { <-give; cancel() }()
		_, err := s.Recv(short)
		up <- err
		frame, _ := s.Recv(ctx)
		got <- frame
	})
	key := newKey(t)
	cert := liar{key: key, chain: o.chain(o.params("a", key))}.certificate()
	c := must(rawDial(testCtx(t), b.Addr(), cert, "secp2psip/1"))(t)
	defer c.Close()
	s := must(c.OpenStreamSync(testCtx(t)))(t)
	hello := must(wire.Encode(&wire.Carry{}))(t)
	frame := binary.BigEndian.AppendUint32(nil, 6)
	for i, part := range [][]byte{append(append([]byte{'L'}, binary.BigEndian.AppendUint32(nil, uint32(len(hello)))...), hello...), append(frame, "abc"...), []byte("def")} {
		if i == 2 { // what was sent before this request has arrived when it is answered
			must(rawRequest(testCtx(t), c, request(&wire.Ping{})))(t)
			close(give)
			if err := <-up; !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
		}
		must(s.Write(part))(t)
	}
	if frame := <-got; string(frame) != "abcdef" {
		t.Errorf("%q", frame)
	}
}

func TestStreamRefused(t *testing.T) {
	o := newOverlay(t, "lan.example")
	a, b := o.start("a"), o.start("b", func(c *link.Config) { c.Limits.Streams = 2 })
	b.onStream(echo)
	ctx := testCtx(t)
	c := must(a.Connect(ctx, b.peer()))(t)
	open := func() *link.Stream {
		s := must(c.Open(ctx, &wire.Carry{}))(t)
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	first, second := open(), open()
	for _, s := range []*link.Stream{first, second} {
		must(s.Recv(ctx))(t)
	}
	var refused *link.RemoteError
	if _, err := open().Recv(ctx); !errors.As(err, &refused) || refused.Code != wire.CodeUnavailable {
		t.Error(err)
	}
	if b.refused.of(link.ReasonStreams) != 1 {
		t.Error(b.refused.all())
	}
	if err := ping(t, a, b); err != nil {
		t.Error("requests while the streams are full:", err)
	}
	_ = first.Close()
	eventually(t, "its place is free", func() bool {
		s := must(c.Open(ctx, &wire.Carry{}))(t)
		defer s.Close()
		_, err := s.Recv(ctx)
		return err == nil
	})
}

func TestStreamLost(t *testing.T) {
	o := newOverlay(t, "lan.example")
	a, b := o.start("a"), o.start("b")
	b.onStream(func(ctx context.Context, _ *link.Conn, _ wire.Message, s *link.Stream) { <-ctx.Done() })
	ctx := testCtx(t)
	c := must(a.Connect(ctx, b.peer()))(t)
	s := must(c.Open(ctx, &wire.Carry{}))(t)
	b.shut(t)
	if _, err := s.Recv(ctx); !errors.Is(err, link.ErrLost) {
		t.Error(err)
	}
	if err := s.Send(ctx, nil); !errors.Is(err, link.ErrLost) {
		t.Error(err)
	}
	select {
	case <-c.Done():
	case <-ctx.Done():
		t.Error("Done is not closed")
	}
}

// A frame that is announced as larger than allowed is not waited for.
func TestStreamOversized(t *testing.T) {
	o := newOverlay(t, "lan.example")
	b := o.start("b")
	result := make(chan error, 1)
	b.onStream(func(ctx context.Context, _ *link.Conn, _ wire.Message, s *link.Stream) {
		_, err := s.Recv(ctx)
		result <- err
	})
	key := newKey(t)
	c := must(rawDial(testCtx(t), b.Addr(), liar{key: key, chain: o.chain(o.params("a", key))}.certificate(), "secp2psip/1"))(t)
	defer c.Close()
	hello := must(wire.Encode(&wire.Carry{}))(t)
	opening := append(append([]byte{'L'}, binary.BigEndian.AppendUint32(nil, uint32(len(hello)))...), hello...)
	s := must(c.OpenStreamSync(testCtx(t)))(t)
	must(s.Write(binary.BigEndian.AppendUint32(opening, link.MaxFrame+1)))(t)
	if err := <-result; !errors.Is(err, link.ErrTooLarge) {
		t.Error(err)
	}
	for name, b2 := range map[string][]byte{
		"oversized opening":  binary.BigEndian.AppendUint32([]byte{'L'}, link.MaxFrame+1),
		"unreadable opening": {'L', 0, 0, 0, 1, 0xff},
		"unknown kind":       {'X'},
	} {
		before := b.refused.of(link.ReasonMalformed) + b.refused.of(link.ReasonOversized)
		s := must(c.OpenStreamSync(testCtx(t)))(t)
		must(s.Write(b2))(t)
		if _, err := io.ReadAll(s); err == nil {
			t.Errorf("%s: no reset", name)
		}
		eventually(t, name+" is counted", func() bool {
			return b.refused.of(link.ReasonMalformed)+b.refused.of(link.ReasonOversized) == before+1
		})
	}
}
