package adapter

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/secp2psip/secp2psip/internal/admin"
	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/sipbridge"
	"github.com/secp2psip/secp2psip/sipbridge/carry"
)

const (
	callOut = admin.CallOut
	callIn  = admin.CallIn
	// maxCalls is how many of the last calls status shows.
	maxCalls = 50
	// maxName and maxWhy bound what an entry keeps of what phones and others say.
	maxName = 80
	maxWhy  = 300
)

// callLog keeps the last calls. The zero value is ready.
type callLog struct {
	mu    sync.Mutex
	calls []*callEntry     // oldest first
	told  func(admin.Call) // nil = nobody
	ended func(admin.CallRecord)
	talks func(id string, v *talk) // hears of every call that is answered, and with nil of its end; nil = nobody
}

// callEntry is one call in the log; its log's mutex guards it.
type callEntry struct {
	log    *callLog
	callID string
	start  time.Time
	admin.Call
}

func (l *callLog) begin(now time.Time, direction, from, to, callID string) *callEntry {
	e := &callEntry{log: l, callID: callID, start: time.Now(), Call: admin.Call{Time: now, Direction: direction, From: from, To: clip(to, maxName)}}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, e)
	if len(l.calls) > maxCalls {
		l.calls = slices.Delete(l.calls, 0, len(l.calls)-maxCalls)
	}
	return e
}

// finish notes how the attempt was answered: 302, or the refusal in err.
func (l *callLog) finish(e *callEntry, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.SetupMS = float64(time.Since(e.start).Microseconds()) / 1000
	e.Status, e.Reason = 302, "Moved Temporarily"
	if err != nil {
		e.Status, e.Reason = 500, clip(err.Error(), maxWhy)
	}
	if refusal, ok := errors.AsType[*sipbridge.Refusal](err); ok {
		e.Status, e.Reason = refusal.Code, clip(refusal.Error(), maxWhy)
	}
	if l.told != nil {
		l.told(e.Call)
	}
	if l.ended != nil && (err != nil || e.Path == sipbridge.PathDirect) { // else it is carried on, and ends later
		l.ended(admin.CallRecord{Call: e.Call, Ended: e.Time.Add(time.Since(e.start))})
	}
}

// carried notes how a call that the adapter carries went on: until then its
// entry tells of the REDIRECT only.
func (l *callLog) carried(ev carry.Event) {
	if ev.Path == carry.PathEcho || ev.Status == 0 {
		return
	}
	record := admin.CallRecord{Ended: ev.Ended, Peer: peerOf(ev.Info), Media: mediaOf(ev.Info)}
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.ofLocked(ev.Info); e != nil {
		e.Path, e.Status, e.Reason = ev.Path, ev.Status, clip(ev.Reason, maxWhy)
		record.Call = e.Call
	} else {
		record.Call = admin.Call{Time: ev.Started, Direction: directionOf(ev.Info), From: ev.Caller.User(), To: ev.Callee.User(),
			Path: ev.Path, Status: ev.Status, Reason: clip(ev.Reason, maxWhy)}
	}
	if l.talks != nil && ev.State == carry.Answered && ev.Left != nil {
		l.talks(ev.ID, &talk{*ev.Left, record.Call, record.Peer})
	} else if l.talks != nil && ev.State == carry.Ended && !ev.Answered.IsZero() {
		l.talks(ev.ID, nil)
	}
	if ev.State != carry.Ended || l.ended == nil {
		return
	}
	if !ev.Answered.IsZero() {
		record.Seconds = ev.Ended.Sub(ev.Answered).Seconds()
	}
	l.ended(record)
}

// keyOf returns the fingerprint of the other person's key in a carried call.
func (l *callLog) keyOf(c carry.Info) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.ofLocked(c); e != nil {
		return e.Key
	}
	return ""
}

// ofLocked returns the newest entry of a carried call, nil if it has gone. A
// phone that follows a redirection may have chosen a new Call-ID.
func (l *callLog) ofLocked(c carry.Info) *callEntry {
	var other *callEntry
	for _, e := range slices.Backward(l.calls) {
		switch {
		case e.Direction != directionOf(c):
		case e.callID == c.Signed:
			return e
		case other == nil && e.From == c.Caller.User() && e.To == c.Callee.User():
			other = e
		}
	}
	return other
}

func (e *callEntry) evidence(res *directory.Resolution) {
	if res == nil {
		return
	}
	e.log.mu.Lock()
	defer e.log.mu.Unlock()
	e.SharesUsed = len(res.Evidence.Shares)
	if !res.Key.IsZero() {
		e.Key = res.Key.Fingerprint()
	}
}

func (e *callEntry) ownedBy(owner identity.OwnerTag) {
	e.log.mu.Lock()
	defer e.log.mu.Unlock()
	e.Owner = owner.String()
}

func (e *callEntry) verified() {
	e.log.mu.Lock()
	defer e.log.mu.Unlock()
	e.Verified = true
}

func (e *callEntry) onPath(path string) {
	e.log.mu.Lock()
	defer e.log.mu.Unlock()
	e.Path = path
}

// last returns the calls, newest first.
func (l *callLog) last() []admin.Call {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]admin.Call, 0, len(l.calls))
	for _, e := range slices.Backward(l.calls) {
		out = append(out, e.Call)
	}
	return out
}
