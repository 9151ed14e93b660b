package chord

import (
	"context"
	"fmt"
	"time"

	"github.com/secp2psip/secp2psip/chord/zave"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// The bounds of one fetch.
const (
	fetchAsks  = 6 // nodes asked
	fetchEmpty = 2 // empty answers, the responsible node's among them, that end it
	fetchTime  = 3 * time.Second
)

// Answer is what is stored at a position.
type Answer struct {
	Records     []record.Record // not verified
	Holder      wire.Peer       // who gave them; with no records, the responsible node if it answered
	Responsible bool            // the position lies in Holder's interval, by its own word
	RTT         time.Duration   // 0 when the holder is this node
}

// Fetch returns the records of a resource at pos; part nil means all parts. It
// asks the responsible node and then its successors. No records and no error
// means that nodes that should have them do not; Responsible says whether the
// responsible one is among those. A node that does not answer is passed by at
// once; ErrNoHolder means that nobody answered.
func (n *Node) Fetch(ctx context.Context, pos, res ID, part *uint64) (Answer, error) {
	// A table that is out of date does no harm: the answer tells.
	chain, err := n.chain(ctx, pos, n.view.Load().Complete)
	if err != nil {
		return Answer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTime+n.patience())
	defer cancel()
	f := fetching{
		n: n, v: n.view.Load(), answers: make(chan fetched, fetchAsks), seen: map[ID]bool{},
		pos: pos, req: &wire.Fetch{Position: pos, Resource: res, Part: part}, queue: chain,
	}
	return f.run(ctx)
}

// fetching is one fetch under way.
type fetching struct {
	n       *Node
	v       *View
	pos     ID
	req     *wire.Fetch
	queue   []wire.Peer
	seen    map[ID]bool
	answers chan fetched
	flying  int
	asked   int
	empty   int
	best    *Answer // the best empty answer
	lastErr error
}

type fetched struct {
	peer wire.Peer
	msg  *wire.Fetched
	rtt  time.Duration
	err  error
}

func (f *fetching) run(ctx context.Context) (Answer, error) {
	f.next(ctx)
	wait := hedgeUnknown
	if len(f.queue) > 0 {
		wait = f.n.hedge(f.v, f.queue[0].ID)
	}
	late := time.NewTimer(wait)
	defer late.Stop()
	for f.flying > 0 {
		select {
		case a := <-f.answers:
			f.flying--
			if answer, ok := f.take(a); ok {
				return answer, nil
			}
			if f.empty >= fetchEmpty && f.best.Responsible {
				return *f.best, nil
			}
			if f.flying == 0 {
				f.next(ctx)
			}
		case <-late.C:
			f.next(ctx)
			late.Reset(hedgeUnknown)
		case <-ctx.Done():
			f.lastErr = ctx.Err()
			f.flying = 0
		}
	}
	if f.best != nil {
		return *f.best, nil
	}
	return Answer{}, fmt.Errorf("%w: position %s: %w", ErrNoHolder, f.pos.Short(), f.lastErr)
}

// next asks the next node in the queue.
func (f *fetching) next(ctx context.Context) {
	for len(f.queue) > 0 && f.asked < fetchAsks {
		p := f.queue[0]
		f.queue = f.queue[1:]
		if f.seen[p.ID] {
			continue
		}
		f.seen[p.ID] = true
		f.asked++
		f.flying++
		go func() { f.answers <- f.ask(ctx, p) }() // ends with ctx
		return
	}
}

func (f *fetching) ask(ctx context.Context, p wire.Peer) fetched {
	if p.ID == f.v.Self.ID {
		return fetched{peer: p, msg: f.n.serveFetch(f.req).(*wire.Fetched)}
	}
	msg, rtt, err := f.n.ask(ctx, p, f.req)
	a := fetched{peer: p, rtt: rtt, err: err}
	if err == nil {
		var ok bool
		if a.msg, ok = msg.(*wire.Fetched); !ok {
			f.n.cfg.Refused(RefusedUnexpected)
			a.err = fmt.Errorf("%w: %s in answer to Fetch", ErrNoHolder, msg.Type())
		}
	}
	return a
}

// take judges an answer. One with records ends the fetch. An empty one from a
// node that is not responsible may name one that is closer.
func (f *fetching) take(a fetched) (Answer, bool) {
	if a.err != nil {
		f.lastErr = a.err
		return Answer{}, false
	}
	answer := Answer{Records: a.msg.Records, Holder: a.peer, RTT: a.rtt}
	if pred := a.msg.Pred; pred != nil {
		answer.Responsible = zave.Owns(pred.ID, f.pos, a.peer.ID)
		if !answer.Responsible && precedes(f.pos, pred.ID, a.peer.ID) {
			f.queue = append([]wire.Peer{*pred}, f.queue...)
		}
	}
	if len(answer.Records) > 0 {
		return answer, true
	}
	f.empty++
	if f.best == nil || answer.Responsible && !f.best.Responsible {
		f.best = &answer
	}
	if succ := a.msg.Succ0; succ != nil && answer.Responsible {
		f.queue = append(f.queue, *succ)
	}
	return Answer{}, false
}
