package sipbridge

import (
	"bytes"
	"context"
	"sync"
	"time"

	"github.com/secp2psip/secp2psip/sipbridge/message"
)

// MaxText is the largest body of a MESSAGE, in bytes.
const MaxText = 8 << 10

// text takes a MESSAGE from a phone (RFC 3428) and answers 200 when it has
// reached the other phone.
func (w *worker) text(from *origin) {
	x := w.b.exchanges
	key := x.key(w, from.flow.Remote, w.msg.Method)
	if v, p := x.lookup(w, key, w.b.now()); v != isNew {
		w.known(from, v, p)
		return
	}
	caller, ok := w.caller(from)
	if !ok {
		return
	}
	d, r := w.destination(caller)
	switch {
	case r != nil:
	case d.name == "":
		w.b.refused(RefusedTarget)
		r = NoSuchName("texts go to names; " + w.b.hosts.accepted())
	case len(w.msg.Body) > MaxText:
		w.b.refused(RefusedOversize)
		r = refuse(513, "Message Too Large", "a text may have up to 8 KiB")
	default:
		r = w.paced(caller, d)
	}
	if r != nil {
		w.refuse(from, r)
		return
	}
	p := w.enter(from, key)
	if p == nil {
		return
	}
	m := Message{
		From: caller, Target: d.name, CallID: w.b.sharedID(w.msg.Get(message.CallID)), Body: bytes.Clone(w.msg.Body),
		ContentType: orElse(clip(w.msg.Get(message.ContentType), 200), "text/plain"),
	}
	sent := w.b.background(func() {
		if err := w.b.cfg.Directory.Message(p.ctx, m); err != nil {
			w.b.fail(p, err)
			return
		}
		w.b.finish(p, &Refusal{Code: 200, Reason: "OK"}, nil)
	})
	if !sent {
		w.b.refused(RefusedOverload)
		w.b.finish(p, Overloaded("too many texts are on their way", 2*time.Second), nil)
	}
}

// Deliver brings a text from another adapter to the local phones. It returns
// nil when one of them took it, else the *Refusal of the preferred one.
func (b *Bridge) Deliver(ctx context.Context, m Message) error {
	phones, r := b.phones(ctx, m.To)
	if r != nil {
		return r
	}
	results := make([]*Refusal, len(phones))
	var wg sync.WaitGroup
	for i := range phones {
		wg.Go(func() { results[i] = b.client.message(ctx, &phones[i], m) })
	}
	wg.Wait()
	for _, r := range results {
		if r == nil {
			return nil
		}
	}
	return results[0]
}
