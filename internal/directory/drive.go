package directory

import (
	"context"
	"time"

	"github.com/secp2psip/secp2psip/internal/stack"
)

// setting is that of a step function which begins now.
func (d *Directory) setting() Setting {
	return Setting{
		Trust: d.Trust(), Now: d.cfg.Now, Members: d.cfg.Ring.Size, Self: d.cfg.Self, Keys: d.cfg.Keys, Refused: d.cfg.Refused,
		Pace: &d.pace, Rand: systemRand(), Timeout: d.cfg.Timeout, Listen: d.cfg.Listen, Watch: d.cfg.Watch,
	}
}

// hiddenTime is how much longer the resolution of a name takes at most where its
// questions go through others, who may have to be drawn again.
const hiddenTime = 6 * time.Second

// looking is the setting of a step function that asks for somebody's records.
func (d *Directory) looking() Setting {
	set := d.setting()
	if d.cfg.Hidden != nil {
		set.Hidden, set.Pace = true, &d.hiddenPace
		set.Timeout += hiddenTime
	}
	return set
}

// drive runs an errand to its end. It has each call made, and its answer
// verified, in a goroutine that ends with the errand, and tells the errand of the
// answers and of the time. by reads for it. after is called after each step; nil is nothing. An
// errand gives up when the caller's ctx ends, and ends at once with the
// Directory. It must run in a goroutine that Run waits for.
func (d *Directory) drive(caller context.Context, e errand, by Fetcher, after func()) {
	ctx, cancel := context.WithCancel(d.ctx)
	defer cancel()
	answers := make(chan Event, 8)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	gone := caller.Done()
	var due time.Time
	var ev Event = Tick{}
	for {
		for _, c := range e.Step(time.Now(), ev) {
			d.work.Go(func() { // the caller is counted too, so Run cannot be past waiting
				stack.Deepen()
				out := d.make(ctx, e, c, by)
				select {
				case answers <- out:
				case <-ctx.Done():
				}
			})
		}
		if after != nil {
			after()
		}
		if e.Ended() {
			return
		}
		if at := e.Deadline(); !at.IsZero() && !at.Equal(due) {
			due = at
			timer.Reset(max(time.Until(at), 0))
		}
		select {
		case ev = <-answers:
		case <-timer.C:
			ev, due = Tick{}, time.Time{}
		case <-gone:
			ev, gone = GiveUp{caller.Err()}, nil
		case <-ctx.Done():
			e.Step(time.Now(), GiveUp{ErrClosed})
			if after != nil {
				after()
			}
			return
		}
	}
}

// make makes one call.
func (d *Directory) make(ctx context.Context, e errand, c Call, by Fetcher) Event {
	start := time.Now()
	if c.Store != nil {
		holders, err := d.cfg.Ring.Store(ctx, c.Position, *c.Store)
		return Written{Call: c.ID, Holders: holders, Took: time.Since(start), Err: err}
	}
	ans, err := by.Fetch(ctx, c.Position, c.Resource, c.Part)
	r := Read{Call: c.ID, Holder: ans.Holder, Responsible: ans.Responsible, Took: time.Since(start), Err: err}
	if err == nil {
		r.Found = e.Examine(c, ans.Records)
	}
	return r
}
