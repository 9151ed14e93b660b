package chord

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/secp2psip/secp2psip/internal/wire"
)

// refusal is another node's answer of type Error.
type refusal struct{ answer *wire.Error }

func (r refusal) Error() string {
	return fmt.Sprintf("chord: refused by the other node: %s (%d)", r.answer.Reason, r.answer.Code)
}

// Lookup finds the node responsible for target. It asks members itself, three
// at a time or a few more while some take long, and takes at most 3 s; a little
// longer on a machine that is short of processor time. What it finds is the word
// of the member that precedes the target; calling the responsible node verifies
// it.
func (n *Node) Lookup(ctx context.Context, target ID) (Route, error) {
	s := NewSeeking(n.vantage(), target)
	n.drive(ctx, s)
	return s.route, s.err
}

// vantage is that of an errand which begins now.
func (n *Node) vantage() Vantage {
	return Vantage{View: n.view.Load(), Patience: n.patience(), Refused: n.cfg.Refused}
}

// drive runs an errand to its end: it makes the calls that it wants, and tells it
// of the answers and of the time. An errand whose ctx ends gives up.
func (n *Node) drive(ctx context.Context, op errand) { n.driveBy(ctx, op, n.make) }

// driveBy is drive with calls that are made otherwise.
func (n *Node) driveBy(ctx context.Context, op errand, call func(context.Context, Effect) Result) {
	effects := op.Step(time.Now(), Tick{})
	if op.ended() {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d := driving{op, call, make(chan Result, searchParallel)}
	if len(effects) == 1 {
		var over bool
		if effects, over = d.alone(ctx, cancel, effects[0]); over {
			return
		}
	}
	d.together(ctx, effects)
}

// driving is an errand on its way.
type driving struct {
	op      errand
	call    func(context.Context, Effect) Result
	answers chan Result
}

// alone makes an errand's only call in this goroutine, as most errands have one
// and its answer comes in time. Where it does not, another goroutine brings the
// errand to its end. It returns what is to be done next, and whether that has
// happened.
func (d driving) alone(ctx context.Context, cancel func(), e Effect) (next []Effect, over bool) {
	ended := make(chan struct{})
	late := time.AfterFunc(time.Until(d.op.Deadline()), func() {
		defer close(ended)
		defer cancel() // the call is not waited for
		if next := d.op.Step(time.Now(), Tick{}); !d.op.ended() {
			d.together(ctx, next)
		}
	})
	r := d.call(ctx, e)
	if late.Stop() {
		return d.op.Step(time.Now(), r), d.op.ended()
	}
	select {
	case d.answers <- r:
	case <-ctx.Done():
	}
	<-ended
	return nil, true
}

// together makes calls each in a goroutine of its own, and goes on to the end of
// the errand.
func (d driving) together(ctx context.Context, effects []Effect) {
	timer := time.NewTimer(time.Until(d.op.Deadline()))
	defer timer.Stop()
	for {
		for _, e := range effects {
			go func() { // ends with ctx or the call's timeout
				r := d.call(ctx, e)
				select {
				case d.answers <- r:
				case <-ctx.Done():
				}
			}()
		}
		before := d.op.Deadline()
		select {
		case r := <-d.answers:
			effects = d.op.Step(time.Now(), r)
		case <-timer.C:
			effects = d.op.Step(time.Now(), Tick{})
			before = time.Time{} // it has to be set again
		case <-ctx.Done():
			effects = d.op.Step(time.Now(), GiveUp{ctx.Err()})
		}
		if d.op.ended() {
			return
		}
		if at := d.op.Deadline(); !at.Equal(before) {
			timer.Reset(max(time.Until(at), 0))
		}
	}
}

// make makes one call of an errand.
func (n *Node) make(ctx context.Context, e Effect) Result {
	r := Result{Call: e.ID}
	if e.To.ID == n.cfg.Self.ID {
		r.Msg = n.Serve(ctx, e.To, e.Msg)
		return r
	}
	r.Msg, r.RTT, r.Err = n.ask(ctx, e.To, e.Msg, e.Timeout)
	return r
}

// ask calls another node for a look-up or for records, and tells the machine
// how that went. A refusal is a message.
func (n *Node) ask(ctx context.Context, p wire.Peer, req wire.Message, timeout time.Duration) (wire.Message, time.Duration, error) {
	select {
	case n.slots <- struct{}{}:
		defer func() { <-n.slots }()
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
	call, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	start := time.Now()
	msg, err := n.cfg.Transport.Call(call, p, req)
	r := Result{Msg: msg, Err: err, RTT: time.Since(start)}
	if err != nil && ctx.Err() != nil { // it was the caller who lost patience
		return nil, r.RTT, err
	}
	// #nosec G404 -- spreads measurements, decides nothing that an attacker gains by
	if ev := n.view.Load().Aftermath(p.ID, r, rand.Uint32()); ev != nil {
		select {
		case n.in <- input{ev: ev}:
		default: // the machine has enough to do
		}
	}
	return msg, r.RTT, err
}

// patience is what a busy machine adds to every wait.
func (n *Node) patience() time.Duration { return 3 * time.Duration(n.lag.Load()) }
