package carry

import (
	"context"
	"errors"
	"time"

	"golang.org/x/time/rate"
)

// What a call takes out of its tunnel: enough for a person who holds down a
// key of the dial pad, sent as INFO, and for forty forked phones.
const (
	framesPerSecond = 50
	frameBurst      = 100
	frameQueue      = 64 // frames that wait to be sent
	frameTimeout    = 10 * time.Second
)

// pipe moves the frames of one tunnel, so that the call's goroutine never
// waits for the other adapter.
type pipe struct {
	t      Tunnel
	out    chan []byte
	done   chan struct{} // closed when the tunnel is
	ctx    context.Context
	cancel context.CancelFunc // ends the reader
	closed bool               // the call's goroutine only
}

func (b *branch) attach(t Tunnel) {
	c := b.c
	p := &pipe{t: t, out: make(chan []byte, frameQueue), done: make(chan struct{})}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	b.tunnel = p
	b.startReports()
	if b == c.branch {
		c.e.update(c, func(i *Info) { i.Peer = t.RemoteIP() })
	}
	c.e.wg.Go(func() { b.writeFrames(p) })
	c.e.wg.Go(func() { b.readFrames(p) })
}

// send queues a frame. The other side not reading for so long that the queue
// is full is a loss of the tunnel.
func (b *branch) send(f frame) {
	if b.tunnel == nil || b.tunnel.closed || len(f.payload) > MaxFrame-frameHead {
		return
	}
	select {
	case b.tunnel.out <- f.bytes():
	default:
		b.gone("the other side takes nothing any more")
	}
}

// close lets queued frames out and then closes the tunnel.
func (p *pipe) close() {
	if !p.closed {
		p.closed = true
		close(p.out)
	}
}

func (b *branch) writeFrames(p *pipe) {
	c := b.c
	broken := false
	for data := range p.out {
		if broken {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), frameTimeout)
		err := p.t.Send(ctx, data)
		cancel()
		if err != nil {
			broken = true
			// Not waited for: the call may be blocked on nothing but us.
			c.e.wg.Go(func() { c.post(lostInput{b, lossOf(err)}) })
		}
	}
	_ = p.t.Close()
	p.cancel()
	close(p.done)
}

// lossOf says for people why there is no tunnel any more.
func lossOf(err error) string {
	if r, ok := errors.AsType[*Refusal](err); ok && r.Warning != "" {
		return r.Warning
	}
	return errTunnelLost.Error()
}

func (b *branch) readFrames(p *pipe) {
	c := b.c
	limit := rate.NewLimiter(framesPerSecond, frameBurst)
	for {
		if limit.Wait(p.ctx) != nil {
			return
		}
		data, err := p.t.Recv(p.ctx)
		if err != nil {
			c.post(lostInput{b, lossOf(err)})
			return
		}
		if !c.post(frameInput{b, data}) {
			return
		}
	}
}
