package link_test

import (
	"context"
	"sync"
	"testing"

	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// However many requests have been served, the next one must find room, one
// after the other and many at once.
func TestCreditsComeBack(t *testing.T) {
	o := newOverlay(t, "lan.example")
	narrow := func(c *link.Config) { c.Limits.RequestsAtOnce, c.Limits.Streams = 1, 1 }
	a, b := o.start("a"), o.start("b", narrow, func(c *link.Config) { c.Limits.RequestRate, c.Limits.RequestBurst = 1e6, 1e6 })
	for range 40 {
		if err := ping(t, a, b); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(testCtx(t), patience)
	defer cancel()
	var wg sync.WaitGroup
	for range 60 {
		wg.Go(func() {
			if _, err := a.Call(ctx, b.peer(), &wire.Ping{}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}
