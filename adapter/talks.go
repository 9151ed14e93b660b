package adapter

import (
	"context"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/secp2psip/secp2psip/internal/admin"
	"github.com/secp2psip/secp2psip/sipbridge/carry"
)

// Whoever talks when this program dies talks to nobody, and is not told. The
// state file knows the calls that are being talked in, so that the program's
// next run hangs the phones up and writes the calls down.

// talk is such a call.
type talk struct {
	Left carry.Left
	Call admin.Call
	Peer string `json:",omitempty"`
}

// interruptedWhy is what both phone and record are told.
const interruptedWhy = "interrupted: this adapter ended in mid-call"

// maxTalkChanges bounds the calls that wait for a disk that cannot be written: as
// many as there may be at once, twice. Their ends are not bounded: no more can end
// than are on the disk.
const maxTalkChanges = 256

// talks keeps these calls on disk. Whoever notes one never waits for the disk.
type talks struct {
	state *state
	log   zerolog.Logger
	wake  chan struct{}

	mu      sync.Mutex
	changes map[string]*talk // by the call's ID; nil: it is over
	written map[string]bool  // on the disk, or on the way there: their ends must follow
}

func newTalks(s *state, log zerolog.Logger) *talks {
	return &talks{state: s, log: log, wake: make(chan struct{}, 1), changes: map[string]*talk{}, written: map[string]bool{}}
}

// note takes a call that was answered; nil: the call is over. A call beyond the
// bound is not kept; the end of one that was is never lost.
func (t *talks) note(id string, v *talk) {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, known := t.changes[id]
	switch {
	case v == nil && !t.written[id]: // the disk need never hear of it
		delete(t.changes, id)
		return
	case v != nil && !known && len(t.changes) >= maxTalkChanges:
		return
	}
	t.changes[id] = v
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// start keeps writing in a goroutine; the function that it returns writes what
// is left and waits for its end.
func (t *talks) start() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-t.wake:
				t.write()
			case <-ctx.Done():
				t.write()
				return
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// write brings the disk up to date. What cannot be written is tried with the
// next change; only that a call is over is worth that.
func (t *talks) write() {
	t.mu.Lock()
	changes := t.changes
	t.changes = map[string]*talk{}
	for id, v := range changes {
		if v != nil {
			t.written[id] = true
		}
	}
	t.mu.Unlock()
	if len(changes) == 0 {
		return
	}
	entries := make([]entry, 0, len(changes))
	for id, v := range changes {
		e := entry{bucketTalks, []byte(id), nil}
		if v != nil {
			e.value = v
		}
		entries = append(entries, e)
	}
	err := t.state.put(entries...)
	if err != nil {
		t.log.Warn().Err(err).Msg("calls cannot be noted: if this program dies now, their phones are not hung up")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, v := range changes {
		_, known := t.changes[id]
		switch {
		case err == nil && v != nil:
		case err == nil || v != nil: // it is not on the disk any more, or never came there
			delete(t.written, id)
		case !known:
			t.changes[id] = nil
		}
	}
}

// found takes the calls that an earlier run has left on the disk.
func (t *talks) found(left map[string]talk) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id := range left {
		t.written[id] = true
	}
}

// interrupted returns the calls that an earlier run died in.
func (s *state) interrupted() (map[string]talk, error) {
	all := map[string]talk{}
	err := eachValue(s, bucketTalks, func(id string, v talk) { all[id] = v })
	return all, err
}

// hangUpLeft ends these calls at their phones.
func (a *Adapter) hangUpLeft(ctx context.Context, left map[string]talk) {
	if len(left) == 0 {
		return
	}
	select {
	case <-a.bridge.Ready():
	case <-ctx.Done():
		return
	}
	a.talks.found(left)
	for id, v := range left {
		if err := a.bridge.HangUp(v.Left, interruptedWhy); err != nil {
			a.log.Warn().Err(err).Msg("the phone of an interrupted call cannot be hung up")
		}
		a.talks.note(id, nil)
		v.Call.Reason = interruptedWhy
		a.calls.interrupted(v, a.time.Now())
	}
	a.log.Info().Int("calls", len(left)).Msg("calls that were interrupted are hung up")
}

// interrupted notes the end of a call of an earlier run. How long it was is not
// known.
func (l *callLog) interrupted(v talk, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := &callEntry{log: l, callID: v.Left.CallID, start: time.Now(), Call: v.Call}
	l.calls = append(l.calls, e)
	if l.ended != nil {
		l.ended(admin.CallRecord{Call: v.Call, Ended: now, Peer: v.Peer})
	}
}
