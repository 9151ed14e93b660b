package chord

import (
	"context"
	"fmt"
	"slices"
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

// Fetching is one fetch as a step function: a look-up unless the table is good
// enough, then the responsible node and after it its successors. Its effects
// are of kind Send; one to the node itself is a call too, answered by
// Keeper.Serve.
type Fetching struct {
	calls
	req   *wire.Fetch
	seek  *Seeking // until it is known whom to ask
	queue []wire.Peer
	seen  [fetchAsks]ID // the nodes asked
	asked int
	empty int
	best  *Answer // the best empty answer
	why   error   // the last reason for having no answer
	late  time.Time
	end   time.Time
	calm  bool // nobody is asked beside one who takes long

	answer Answer
	err    error
	over   bool
}

// NewFetching returns a fetch of the records of a resource at pos; part nil
// means all parts. Its first step, with a Tick, begins it.
func NewFetching(at Vantage, pos, res ID, part *uint64) *Fetching {
	f := &Fetching{calls: calls{at: at}, req: &wire.Fetch{Position: pos, Resource: res, Part: part}}
	if !at.View.joined() || !at.View.Complete {
		f.seek = NewSeeking(at, pos)
	} // else a table that is out of date does no harm: the answer tells
	return f
}

// Step takes in what has happened and returns the calls to be made. The slice
// is valid until the next step.
func (f *Fetching) Step(now time.Time, ev Event) []Effect {
	f.begin()
	if f.over {
		return nil
	}
	if f.seek != nil {
		out := f.seek.Step(now, ev)
		r, done, err := f.seek.Result()
		switch {
		case !done:
			return out
		case err != nil:
			f.finish(Answer{}, err)
			return nil
		}
		f.lastID, f.seek = f.seek.lastID, nil
		f.start(now, r.chain())
		return f.out
	}
	if f.end.IsZero() {
		f.start(now, f.at.View.chain(f.req.Position, storeTries))
		return f.out
	}
	switch ev := ev.(type) {
	case Result:
		if p, ok := f.landed(ev); ok {
			f.take(p, ev)
		}
	case GiveUp:
		f.giveUp(ev.Err)
	default:
		f.tick(now)
	}
	return f.out
}

// chain returns the responsible node and its successors.
func (r *Route) chain() []wire.Peer { return append([]wire.Peer{r.Responsible}, r.Successors...) }

func (f *Fetching) start(now time.Time, chain []wire.Peer) {
	f.queue = chain
	f.end = now.Add(fetchTime + f.at.Patience)
	f.next()
	wait := hedgeUnknown
	if len(f.queue) > 0 {
		wait = f.at.View.hedge(f.queue[0].ID)
	}
	if f.late = now.Add(wait); f.calm {
		f.late = f.end
	}
}

func (f *Fetching) tick(now time.Time) {
	if !now.Before(f.end) {
		f.giveUp(context.DeadlineExceeded)
		return
	}
	if !now.Before(f.late) {
		f.next()
		f.late = now.Add(hedgeUnknown)
	}
}

// next asks the next node in the queue.
func (f *Fetching) next() {
	for len(f.queue) > 0 && f.asked < fetchAsks {
		p := f.queue[0]
		f.queue = f.queue[1:]
		if slices.Contains(f.seen[:f.asked], p.ID) {
			continue
		}
		f.seen[f.asked] = p.ID
		f.asked++
		f.send(p, f.req)
		return
	}
}

// take judges an answer, and asks on when nothing is under way any more.
func (f *Fetching) take(p wire.Peer, r Result) {
	err := problem(r)
	msg, ok := r.Msg.(*wire.Fetched)
	if err == nil && !ok {
		f.refuse(RefusedUnexpected)
		err = fmt.Errorf("%w: %s in answer to Fetch", ErrNoHolder, r.Msg.Type())
	}
	if err != nil {
		f.why = err
	} else if f.judge(p, msg, r.RTT) {
		return
	}
	if len(f.flying) == 0 {
		f.next()
	}
	if len(f.flying) == 0 {
		f.giveUp(f.why)
	}
}

// judge takes in an answer and reports whether it ends the fetch. One with
// records does. An empty one from a node that is not responsible may name one
// that is closer.
func (f *Fetching) judge(p wire.Peer, msg *wire.Fetched, rtt time.Duration) bool {
	answer := Answer{Records: msg.Records, Holder: p, RTT: rtt}
	if pred := msg.Pred; pred != nil {
		answer.Responsible = zave.Owns(pred.ID, f.req.Position, p.ID)
		if !answer.Responsible && precedes(f.req.Position, pred.ID, p.ID) {
			f.queue = append([]wire.Peer{*pred}, f.queue...)
		}
	}
	if len(answer.Records) > 0 {
		f.finish(answer, nil)
		return true
	}
	f.empty++
	if f.best == nil || answer.Responsible && !f.best.Responsible {
		f.best = &answer
	}
	if f.empty >= fetchEmpty && f.best.Responsible {
		f.finish(*f.best, nil)
		return true
	}
	if succ := msg.Succ0; succ != nil && answer.Responsible {
		f.queue = append(f.queue, *succ)
	}
	return false
}

func (f *Fetching) giveUp(why error) {
	if f.best != nil {
		f.finish(*f.best, nil)
		return
	}
	f.finish(Answer{}, fmt.Errorf("%w: position %s: %w", ErrNoHolder, f.req.Position.Short(), why))
}

func (f *Fetching) finish(a Answer, err error) {
	f.answer, f.err, f.over = a, err, true
	f.out = f.out[:0]
}

// Deadline returns when the fetch wants a Tick at the latest.
func (f *Fetching) Deadline() time.Time {
	if f.seek != nil {
		return f.seek.Deadline()
	}
	return sooner(f.late, f.end)
}

// Result returns the outcome once done is true. The calls still under way then
// matter no more.
func (f *Fetching) Result() (a Answer, done bool, err error) { return f.answer, f.over, f.err }

func (f *Fetching) ended() bool { return f.over }

// Fetch returns the records of a resource at pos; part nil means all parts. It
// asks the responsible node and then its successors. No records and no error
// means that nodes that should have them do not; Responsible says whether the
// responsible one is among those. A node that does not answer is passed by at
// once; ErrNoHolder means that nobody answered.
func (n *Node) Fetch(ctx context.Context, pos, res ID, part *uint64) (Answer, error) {
	f := NewFetching(n.vantage(), pos, res, part)
	n.drive(ctx, f)
	return f.answer, f.err
}
