package link_test

import (
	"context"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/limits"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// mostMemory is what a process may have under a flood: its live heap and its
// stacks. Here the flood's own half is in it, too.
const mostMemory = limits.Memory

// highest samples heap and stacks while a flood goes on, and returns the most
// that they had, in bytes.
func highest(flood func()) uint64 {
	var most atomic.Uint64
	done := make(chan struct{})
	var sampler sync.WaitGroup
	sampler.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most.Store(max(most.Load(), m.HeapInuse+m.StackInuse))
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	})
	flood()
	close(done)
	sampler.Wait()
	return most.Load()
}

// flooding runs one flood against a node with the default limits and reports
// what memory it took, how often it attacked, and how much was refused.
func flooding(t *testing.T, what string, setup func(o *overlay) *node, flood func(ctx context.Context, o *overlay, victim *node) (attacks int)) {
	t.Helper()
	o := newOverlay(t, "lan.example")
	victim := setup(o)
	ctx, cancel := context.WithTimeout(testCtx(t), 15*time.Second)
	defer cancel()
	attacks := 0
	most := highest(func() { attacks = flood(ctx, o, victim) })
	refused := 0
	for _, n := range victim.refused.all() {
		refused += n
	}
	t.Logf("matrix: H4 memory under a flood of %s: %d MiB with the flood's own half; %d attempts, %d refused", what, most>>20, attacks, refused)
	if most > mostMemory || attacks == 0 {
		t.Errorf("%s: %d MiB after %d attempts", what, most>>20, attacks)
	}
}

func plain(o *overlay) *node { return o.start("victim") }

// together calls f so many times, workers at once, and returns how often.
func together(times, workers int, f func(i int)) int {
	var work sync.WaitGroup
	var next atomic.Int64
	for range workers {
		work.Go(func() {
			for i := next.Add(1); i <= int64(times); i = next.Add(1) {
				f(int(i))
			}
		})
	}
	work.Wait()
	return times
}

// H4: what strangers and members cause takes no more memory than the limits
// allow, whatever they do most of.
func TestMatrixH4MemoryUnderFloods(t *testing.T) { memoryUnderFloods(t, 1) }

// memoryUnderFloods mounts the floods at so many times their size.
func memoryUnderFloods(t *testing.T, size int) {
	t.Run("handshakes", func(t *testing.T) {
		flooding(t, "handshakes that never end", plain, func(ctx context.Context, o *overlay, victim *node) int {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			for i := range byte(4) {
				flood(ctx, t, netip.AddrFrom4([4]byte{127, 0, 3, i + 1}), victim.Addr(), 50*size)
			}
			eventually(t, "it arrives", func() bool {
				return victim.refused.of(link.ReasonRetry)+victim.refused.of(link.ReasonHandshakesAddr)+victim.refused.of(link.ReasonHandshakes) >= 50
			})
			return 4 * 50 * size
		})
	})
	t.Run("connections", func(t *testing.T) {
		flooding(t, "connections of one member", plain, func(ctx context.Context, o *overlay, victim *node) int {
			key := newKey(o.t)
			cert := liar{key: key, chain: o.chain(o.params("mallory", key))}.certificate()
			defer func() {
				eventually(t, "the places of one member are all it has", func() bool { return len(victim.Peers()) <= 4 })
			}()
			return together(32*size, 8, func(int) {
				if c, err := rawDial(ctx, victim.Addr(), cert, "secp2psip/1"); err == nil {
					t.Cleanup(func() { c.Close() })
				}
			})
		})
	})
	t.Run("requests", func(t *testing.T) {
		flooding(t, "requests", plain, func(ctx context.Context, o *overlay, victim *node) int {
			c := must(o.start("mallory").Connect(ctx, victim.peer()))(t)
			return together(2000*size, 32, func(int) { _, _ = c.Call(ctx, &wire.Ping{}) })
		})
	})
	t.Run("half requests", func(t *testing.T) {
		flooding(t, "requests that never end", plain, func(ctx context.Context, o *overlay, victim *node) int {
			key := newKey(o.t)
			cert := liar{key: key, chain: o.chain(o.params("mallory", key))}.certificate()
			c := must(rawDial(ctx, victim.Addr(), cert, "secp2psip/1"))(t)
			defer c.Close()
			var opened atomic.Int64
			together(160*size, 32, func(int) {
				ctx, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
				defer cancel()
				if s, err := c.OpenStreamSync(ctx); err == nil {
					opened.Add(1)
					_, _ = s.Write(append([]byte{'Q'}, make([]byte, 60<<10)...)) // and no end
				}
			})
			return int(opened.Load())
		})
	})
	t.Run("datagrams", func(t *testing.T) {
		flooding(t, "media datagrams", func(o *overlay) *node {
			n := plain(o)
			n.HandleDatagrams(link.DatagramMedia, func(*link.Conn, []byte) {})
			return n
		}, func(ctx context.Context, o *overlay, victim *node) int {
			c := must(o.start("mallory").Connect(ctx, victim.peer()))(t)
			return together(5_000*size, 4, func(i int) { _ = c.SendDatagram(numbered(link.DatagramMedia, i, 1100)) })
		})
	})
	t.Run("enrolments", func(t *testing.T) {
		flooding(t, "enrolments", func(o *overlay) *node { b, _ := o.bootstrap(); return b }, func(ctx context.Context, o *overlay, victim *node) int {
			return together(60*size, 16, func(int) {
				c, err := link.DialEnrol(ctx, victim.Addr().String(), o.fingerprint(), nil)
				if err != nil {
					return // refused: that is what it is for
				}
				_, _ = c.Call(ctx, &wire.EnrolStart{})
				t.Cleanup(func() { _ = c.Close() })
			})
		})
	})
}
