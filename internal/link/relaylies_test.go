package link_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// villain makes a peer pass on what mangle makes of each packet, both ways, and
// keeps all that it has seen.
type villain struct {
	attacks atomic.Int64
	mu      sync.Mutex
	seen    [][]byte
}

func (v *villain) corrupt(t testing.TB, p *node, mangle func(packet []byte, seen [][]byte) [][]byte) {
	p.HandleDatagrams(link.DatagramSealed, func(from *link.Conn, b []byte) {
		to := identity.NodeID(b[2:18])
		v.mu.Lock()
		v.seen = append(v.seen, bytes.Clone(b[18:]))
		out := mangle(bytes.Clone(b[18:]), v.seen)
		v.mu.Unlock()
		v.attacks.Add(1)
		conn, err := p.Connect(context.Background(), wire.Peer{ID: to})
		if err != nil {
			return
		}
		for _, packet := range out {
			id := from.ID()
			_ = conn.SendDatagram(append(append([]byte{link.DatagramSealed, 1}, id[:]...), packet...))
		}
	})
}

// served makes a callee count what it is asked, by number.
func served(callee *node) func(int64) int {
	var mu sync.Mutex
	count := map[int64]int{}
	callee.onServe(func(_ context.Context, _ *link.Conn, m wire.Message) wire.Message {
		mu.Lock()
		defer mu.Unlock()
		n := m.(*wire.Pong).Time
		count[n]++
		return &wire.Pong{Time: -n}
	})
	return func(n int64) int {
		mu.Lock()
		defer mu.Unlock()
		return count[n]
	}
}

// A peer that alters what it passes on gains nothing: no connection comes about
// through it, and the caller goes to the next.
func TestRelayThatAlters(t *testing.T) {
	o := newOverlay(t, "lan.example")
	p, q := o.start("p", passes("callee")), o.start("q", passes("callee"))
	caller, callee := o.start("caller", unreachable), o.start("callee", unreachable)
	attach(t, callee, p, q)
	rng := rand.New(rand.NewPCG(5, 5))
	var v villain
	v.corrupt(t, p, func(b []byte, _ [][]byte) [][]byte {
		b[len(b)-1-rng.IntN(16)] ^= 1 << rng.IntN(8) // within the authenticated end
		return [][]byte{b}
	})
	c := must(caller.ConnectVia(testCtx(t), callee.peer(), peersOf(p, q)))(t)
	if _, err := c.Call(testCtx(t), &wire.Ping{}); err != nil || c.Via() != q.Link.ID() {
		t.Fatalf("through %v: %v", c.Via().Short(), err)
	}
	if v.attacks.Load() == 0 {
		t.Error("nothing was altered")
	}
	t.Logf("%d packets altered", v.attacks.Load())
}

// A peer that repeats old packets, passes them on in another order and loses
// some makes no difference to what is said: each request is served once, and no
// word of it is in what the peer has seen.
func TestRelayThatReplays(t *testing.T) {
	o := newOverlay(t, "lan.example")
	p := o.start("p", passes("callee"))
	caller, callee := o.start("caller", unreachable), o.start("callee", unreachable)
	attach(t, callee, p)
	rng := rand.New(rand.NewPCG(6, 6))
	var v villain
	var kept []byte
	v.corrupt(t, p, func(b []byte, seen [][]byte) [][]byte {
		out := [][]byte{b, bytes.Clone(seen[rng.IntN(len(seen))])} // an old one, perhaps the other side's
		switch {
		case rng.IntN(10) == 0:
			return out[1:]
		case kept == nil && rng.IntN(4) == 0:
			kept = b
			return out[1:]
		case kept != nil:
			out, kept = append(out, kept), nil
		}
		return out
	})
	c := must(caller.ConnectVia(testCtx(t), callee.peer(), peersOf(p)))(t)
	times := served(callee)
	const secret = 0x5ec2e7
	for i := range int64(100) {
		answer, err := c.Call(testCtx(t), &wire.Pong{Time: secret + i})
		if err != nil || answer.(*wire.Pong).Time != -(secret+i) {
			t.Fatalf("%d: %+v, %v", i, answer, err)
		}
	}
	for i := range int64(100) {
		if n := times(secret + i); n != 1 {
			t.Errorf("request %d was served %d times", i, n)
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	asked := must(wire.Encode(&wire.Pong{Time: secret}))(t)
	for _, b := range v.seen {
		if bytes.Contains(b, asked[:len(asked)-1]) {
			t.Fatal("the peer has read a request")
		}
	}
	t.Logf("%d packets seen", len(v.seen))
}
