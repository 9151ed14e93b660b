package link_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// A certificate that runs out, grace and all, while the node is connected ends
// the connection.
func TestDropExpired(t *testing.T) {
	o := newOverlay(t, "lan.example")
	var ahead atomic.Int64
	a := o.start("a", func(c *link.Config) {
		c.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	b := o.start("b")
	c := must(a.Connect(testCtx(t), b.peer()))(t)
	ahead.Store(int64(100 * 24 * time.Hour)) // within the grace
	a.DropExpired()
	if err := ping(t, a, b); err != nil {
		t.Fatal(err)
	}
	ahead.Store(int64(200 * 24 * time.Hour))
	a.DropExpired()
	select {
	case <-c.Done():
	case <-time.After(patience):
		t.Fatal("still connected")
	}
	if a.refused.of(link.ReasonExpired) != 1 {
		t.Error(a.refused.all())
	}
	if err := ping(t, a, b); err == nil {
		t.Error("connected anew")
	}
}

// Two nodes that have dialled each other at once keep one connection.
func TestDropSpare(t *testing.T) {
	o := newOverlay(t, "lan.example")
	b := o.start("b")
	key := newKey(t)
	cert := liar{key: key, chain: o.chain(o.params("a", key))}.certificate()
	first := must(rawDial(testCtx(t), b.Addr(), cert, "secp2psip/1"))(t)
	defer first.Close()
	must(rawRequest(testCtx(t), first, request(&wire.Ping{})))(t) // b has it before the other
	second := must(rawDial(testCtx(t), b.Addr(), cert, "secp2psip/1"))(t)
	defer second.Close()
	must(rawRequest(testCtx(t), second, request(&wire.Ping{})))(t)
	eventually(t, "both are idle", func() bool {
		peers := b.Peers()
		return len(peers) == 2 && peers[0].Busy+peers[1].Busy == 0
	})
	b.DropSpare(time.Hour)
	if n := len(b.Peers()); n != 2 {
		t.Errorf("%d connections", n)
	}
	b.DropSpare(0)
	select {
	case <-first.Context().Done():
	case <-time.After(patience):
		t.Fatal("the spare connection is still there")
	}
	must(rawRequest(testCtx(t), second, request(&wire.Ping{})))(t)
}
