package link

import (
	"sync"

	"github.com/quic-go/quic-go/qlog"
	"github.com/quic-go/quic-go/qlogwriter"
)

// A peer that passes the packets of a connection on can neither read nor make
// them, but it can repeat, alter or drop them and change their order. QUIC takes
// the harm out of that; the end of the connection sees it all the same, in the
// packet numbers, and so knows a peer that had better be left. Nobody else can
// cause it: the packets come in datagrams of the link to that peer. Only the
// other end of the connection could, against itself.

// What counts as too much among watchSpan packets: more than any network does
// that would carry a call.
const (
	watchSpan    = 100
	watchRepeats = 10
	watchAlters  = 5
	watchLate    = 25
	watchMissing = 40
)

// watch looks at the packets of one connection through a peer. It implements
// qlogwriter.Trace and Recorder; quic-go calls it from one goroutine.
type watch struct {
	mu      sync.Mutex
	blame   func(reason string) // told once, when there is too much of something
	verdict string

	highest, start int64 // packet numbers: seen so far, and where the span began
	fresh          int   // packets of this span that came for the first time
	repeats        int
	alters         int
	late           int // came after one that was sent later
}

func newWatch() *watch { return &watch{highest: -1, start: -1} }

// tell has f told of the peer's fault, also of one that was found before.
func (w *watch) tell(f func(reason string)) {
	w.mu.Lock()
	w.blame = f
	verdict := w.verdict
	w.mu.Unlock()
	if verdict != "" {
		f(verdict)
	}
}

// SupportsSchemas implements qlogwriter.Trace.
func (*watch) SupportsSchemas(string) bool { return false }

// AddProducer implements qlogwriter.Trace.
func (w *watch) AddProducer() qlogwriter.Recorder { return w }

// Close implements qlogwriter.Recorder.
func (*watch) Close() error { return nil }

// RecordEvent implements qlogwriter.Recorder.
func (w *watch) RecordEvent(e qlogwriter.Event) {
	switch e := e.(type) {
	case qlog.PacketReceived:
		if e.Header.PacketType == qlog.PacketType1RTT {
			w.came(int64(e.Header.PacketNumber))
		}
	case qlog.PacketDropped:
		switch e.Trigger {
		case qlog.PacketDropDuplicate:
			w.count(func() { w.repeats++ })
		case qlog.PacketDropPayloadDecryptError, qlog.PacketDropHeaderParseError:
			w.count(func() { w.alters++ })
		}
	}
}

func (w *watch) came(number int64) {
	w.count(func() {
		w.fresh++
		if number < w.highest {
			w.late++
		}
		w.highest = max(w.highest, number)
	})
}

// count notes something, and judges when the span is full.
func (w *watch) count(note func()) {
	w.mu.Lock()
	note()
	var tell func(string)
	if w.fresh+w.repeats+w.alters >= watchSpan {
		if w.verdict == "" {
			w.verdict, tell = w.judgeLocked(), w.blame
		}
		w.start, w.fresh, w.repeats, w.alters, w.late = w.highest, 0, 0, 0, 0
	}
	verdict := w.verdict
	w.mu.Unlock()
	if tell != nil && verdict != "" {
		tell(verdict)
	}
}

// judgeLocked says what there was too much of, "" for nothing.
func (w *watch) judgeLocked() (reason string) {
	switch missing := int(w.highest-w.start) - w.fresh; {
	case w.alters > watchAlters:
		return ReasonRelayAlters
	case w.repeats > watchRepeats:
		return ReasonRelayReplays
	case w.late > watchLate:
		return ReasonRelayReorders
	case w.start >= 0 && missing > watchMissing:
		return ReasonRelayDrops
	}
	return ""
}

// doubted notes that a peer does what it should not with a connection's packets.
func (l *Link) doubted(c *Conn, reason string) {
	c.doubt.Store(&reason)
	l.cfg.Refused(reason)
	l.vias.leave(c.ID(), c.via)
	l.vias.distrust(c.via)
	l.cfg.Log.Warn().Stringer("peer", c.via).Str("reason", reason).Msg("a peer does not pass packets on as it got them: calls go through another")
}

// Doubt is the reason for which the peer that passes the connection's packets on
// had better be left, "" for none: one of ReasonRelayReplays,
// ReasonRelayReorders, ReasonRelayAlters and ReasonRelayDrops.
func (c *Conn) Doubt() string {
	if reason := c.doubt.Load(); reason != nil {
		return *reason
	}
	return ""
}
