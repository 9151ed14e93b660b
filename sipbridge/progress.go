package sipbridge

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/secp2psip/secp2psip/sipbridge/message"
)

var errTimeout = errors.New("took too long")

// tryingAfter is how long an INVITE waits for its final response before it
// gets a 100; RFC 3261 §17.2.1 allows 200 ms. A phone that has a 100 asks no
// more, and as nothing is repeated here unasked, it would miss a final
// response that the network lost. So what is answered soon gets none.
const tryingAfter = 80 * time.Millisecond

// enter makes the request at hand a pending one. If it is known already, or
// there is no room, it deals with that and returns nil.
func (w *worker) enter(from *origin, key uint64) *pending {
	x := w.b.exchanges
	p := &pending{
		key: key, merged: x.mergeKey(w), from: *from, to: w.req.Hop.ReplyTo(from.flow.Remote),
		invite: w.msg.Is("INVITE"), started: w.b.now(),
	}
	w.out = w.msg.AppendEcho(w.out[:0], &w.req, w.tag(), from.flow.Remote)
	p.echo = bytes.Clone(w.out)
	p.ctx, p.cancel = context.WithCancelCause(w.b.ctx)
	v, known := x.begin(w, p)
	if v == isNew {
		return p
	}
	p.cancel(nil)
	w.known(from, v, known)
	return nil
}

// known deals with a request that is no new one.
func (w *worker) known(from *origin, v verdict, p *pending) {
	switch v {
	case isPending:
		if p.invite {
			w.b.trying(p, true)
		}
	case isAnswered:
		w.b.stats.repeated.Add(1)
		w.b.transmit(from, w.out, w.req.Hop.ReplyTo(from.flow.Remote))
	case isCarried:
		w.engine(from)
	case isMerged:
		w.b.refused(RefusedHops)
		w.refuse(from, Loop("the same request came in by two ways"))
	case isTooMany:
		w.b.refused(RefusedOverload)
		w.refuse(from, Overloaded("too many requests are in progress here", 2*time.Second))
	}
}

// trying sends a 100, once by itself and again for each repetition.
func (b *Bridge) trying(p *pending, again bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.answered || p.tried && !again {
		return
	}
	p.tried = true
	out := message.AppendStatus(make([]byte, 0, 64+len(p.echo)), 100, "Trying")
	b.transmit(&p.from, message.AppendEnd(append(out, p.echo...)), p.to)
}

func (p *pending) isAnswered() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.answered
}

// finish sends the final response of a pending request and keeps it for
// repetitions. fields are further header lines. Only the first of several
// answers counts.
func (b *Bridge) finish(p *pending, r *Refusal, fields []byte) bool {
	p.mu.Lock()
	first := !p.answered
	p.answered = true
	p.mu.Unlock()
	if !first {
		return false
	}
	buf := b.buffers.Get().(*[]byte)
	out := message.AppendStatus((*buf)[:0], r.Code, message.Clean(r.Reason, 80))
	out = append(append(out, p.echo...), fields...)
	out = message.AppendEnd(appendRefusal(out, r))
	b.exchanges.end(p, out, b.now())
	b.transmit(&p.from, out, p.to)
	*buf = out
	b.buffers.Put(buf)
	p.cancel(nil)
	return true
}

// fail sends the refusal that an error stands for.
func (b *Bridge) fail(p *pending, err error) {
	r := asRefusal(err)
	switch {
	case b.ctx.Err() != nil:
		r = OverlayDown("the adapter is being stopped", 10*time.Second)
	case errors.Is(context.Cause(p.ctx), errTimeout), errors.Is(err, context.DeadlineExceeded):
		r = TimedOut("looking the name up took too long")
	case r.Code == 500 && p.ctx.Err() == nil:
		b.log.Warn().Err(err).Msg("a request failed")
	}
	if b.finish(p, r, nil) {
		b.refused(RefusedHub)
	}
}

// transmit writes a response. What cannot be written is lost, as on the wire:
// the phone will ask again.
func (b *Bridge) transmit(from *origin, msg []byte, to netip.AddrPort) {
	b.stats.responses.Add(1)
	if err := from.send(msg, to); err != nil {
		b.log.Debug().Err(err).Msg("response not sent")
	}
}

// sweep looks after pending requests while there are any: late ones get their
// 100, and overdue ones are ended.
func (b *Bridge) sweep() {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	var list []*pending
	for {
		select {
		case <-b.ctx.Done():
			return
		case <-b.exchanges.kick:
			tick.Reset(tryingAfter / 4)
		case <-tick.C:
			var sleep bool
			now := b.now()
			if list, sleep = b.exchanges.older(list[:0], now-tryingAfter); sleep {
				tick.Reset(time.Hour)
			}
			for _, p := range list {
				b.look(p, now)
			}
			clear(list)
		}
	}
}

func (b *Bridge) look(p *pending, now time.Duration) {
	if p.invite {
		b.trying(p, false)
	}
	if now-p.started > b.cfg.CallTimeout {
		p.cancel(errTimeout)
		b.fail(p, errTimeout)
	}
}
