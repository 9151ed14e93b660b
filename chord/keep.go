package chord

import (
	"context"
	"sync"
	"time"

	"github.com/secp2psip/secp2psip/internal/wire"
)

// keeperMail is what the keeper of a Node has to hear.
type keeperMail struct {
	kick chan struct{}

	mu     sync.Mutex
	events []Event
	leave  []chan struct{} // closed when everything has been handed over
}

// tell lets the keeper hear of something; nil is that time has passed.
func (m *keeperMail) tell(ev Event, leave chan struct{}) {
	m.mu.Lock()
	if n := len(m.events); ev != nil && (n == 0 || m.events[n-1] != ev) {
		m.events = append(m.events, ev)
	}
	if leave != nil {
		m.leave = append(m.leave, leave)
	}
	m.mu.Unlock()
	select {
	case m.kick <- struct{}{}:
	default:
	}
}

func (m *keeperMail) read() (events []Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	events, m.events = m.events, nil
	return events
}

func (m *keeperMail) handedOver() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, done := range m.leave {
		close(done)
	}
	m.leave = nil
}

// keep runs the keeper until ctx ends.
func (n *Node) keep(ctx context.Context) {
	results := make(chan Result, keeperParallel)
	timer := time.NewTimer(0)
	defer timer.Stop()
	step := func(ev Event) {
		for _, e := range n.keeper.Step(time.Now(), n.vantage(), ev) {
			if e.Kind == HandedOver {
				n.mail.handedOver()
				continue
			}
			n.calls.Go(func() {
				r := n.make(ctx, e)
				select {
				case results <- r:
				case <-ctx.Done():
				}
			})
		}
	}
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-results:
			step(r)
		case <-timer.C:
			step(Tick{})
		case <-n.mail.kick:
			for _, ev := range n.mail.read() {
				step(ev)
			}
			step(Tick{})
		}
		wait := time.Hour
		if at := n.keeper.Deadline(); !at.IsZero() {
			wait = max(time.Until(at), minTick)
		}
		timer.Reset(wait)
	}
}

// handOver pushes everything to where it belongs once this node is gone.
func (n *Node) handOver(ctx context.Context) {
	done := make(chan struct{})
	n.mail.tell(HandOver{}, done)
	select {
	case <-done:
	case <-ctx.Done():
	case <-n.stopped:
	}
}

// Serve answers a ring or record message. from's ID and owner must be verified;
// its addresses may be missing. It may be called from many goroutines.
func (n *Node) Serve(ctx context.Context, from wire.Peer, req wire.Message) wire.Message {
	switch req := req.(type) {
	case *wire.Ping:
		return &wire.Pong{Time: n.cfg.Now().UnixMilli()}
	case *wire.Store, *wire.StoreMany, *wire.Offer, *wire.Fetch:
		return n.keeper.Serve(time.Now(), n.view.Load(), from, req)
	}
	req = n.foreverify(req)
	reply := make(chan wire.Message, 1)
	if !n.enter(input{ev: Request{From: from, Msg: req}, reply: reply}) {
		return &wire.Error{Code: wire.CodeTooMany, Reason: "too many requests", Retry: uint32(busyRetry.Milliseconds())}
	}
	select {
	case m := <-reply:
		return m
	case <-ctx.Done():
		return wire.Errorf(wire.CodeTimeout, "given up")
	case <-n.stopped:
		return wire.Errorf(wire.CodeUnavailable, "the node stops")
	}
}
