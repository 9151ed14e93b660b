package chord

import (
	"context"
	"time"
)

// overPatience is what a call that goes another way may take longer.
const overPatience = 8 * time.Second

// FetchOver is Fetch by calls that do not go from this node to the holder: of t,
// which bounds each in time by itself. As few nodes as possible are asked: those
// of the own table, one at a time, the next when one has not answered.
// ErrIncomplete where the table does not hold the whole ring, for then others would
// have to be asked who is responsible.
func (n *Node) FetchOver(ctx context.Context, t Transport, pos, res ID, part *uint64) (Answer, error) {
	at := n.vantage()
	if !at.View.joined() || !at.View.Complete {
		return Answer{}, ErrIncomplete
	}
	at.Patience = overPatience
	f := NewFetching(at, pos, res, part)
	f.calm = true
	n.driveBy(ctx, f, func(ctx context.Context, e Effect) Result {
		if e.To.ID == n.cfg.Self.ID {
			return n.make(ctx, e)
		}
		call, cancel := context.WithTimeout(ctx, e.Timeout)
		defer cancel()
		start := time.Now()
		msg, err := t.Call(call, e.To, e.Msg)
		return Result{Call: e.ID, Msg: msg, Err: err, RTT: time.Since(start)}
	})
	return f.answer, f.err
}
