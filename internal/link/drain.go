package link

import (
	"context"
	"sync"
	"time"

	"github.com/secp2psip/secp2psip/internal/wire"
)

// flushTime bounds the wait for answers to arrive before connections close.
const flushTime = 500 * time.Millisecond

// CloseGracefully refuses new requests, waits until those being served are
// answered or ctx ends, then stops Run and waits for it. It returns an error
// only where the link has not been running.
func (l *Link) CloseGracefully(ctx context.Context) error {
	if err := l.await(ctx); err != nil {
		return err
	}
	began := time.Now()
	l.draining.Store(true)
	for range cap(l.slots) { // whoever holds every slot is alone
		select {
		case l.slots <- struct{}{}:
			continue
		case <-ctx.Done():
		case <-l.done:
		}
		break
	}
	l.flush(ctx, began)
	l.stop(ErrClosed)
	<-l.done
	return nil
}

// flush waits until what was written has been read: closing a QUIC connection
// discards what has not left yet, and with the other side what nobody has read
// yet. A round trip on each connection that was in use shows the first, and a
// second one gives those who read the time to.
func (l *Link) flush(ctx context.Context, began time.Time) {
	ctx, cancel := context.WithTimeout(ctx, flushTime)
	defer cancel()
	recent := time.Since(began) + time.Second
	var work sync.WaitGroup
	for _, c := range l.pool.all() {
		if c.unused() <= recent {
			work.Go(func() {
				for range 2 {
					_, _ = c.Call(ctx, &wire.Ping{})
				}
			})
		}
	}
	work.Wait()
}
