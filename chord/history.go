package chord

import (
	"fmt"
	"time"

	"github.com/secp2psip/secp2psip/internal/wire"
)

// Whoever comes and goes without end costs everybody: its news go to all, and its
// neighbours hand records to and fro. So the members next to a node's place, which
// its certificate binds it to, remember how often it has come. One that has come
// too often is told to wait, and uses the ring as a client meanwhile.
//
// A laptop that wakes twenty times a day, a program that is started again and a
// power cut are far below. Who was thought dead and comes back without asking to
// be let in may do so twice as often, and for nothing where this node may be the
// one to blame: when it is short of processor time, or when others were lost as
// well.
const (
	joinsAtOnce  = 12
	joinsRefill  = 15 * time.Minute // one more in this time
	joinsWait    = 1                // those told to wait wait for so many
	asksAtOnce   = 32               // questions to be let in, of one node at one member
	asksRefill   = 30 * time.Second // one more in this time
	maxHistories = 512
	aloneFor     = time.Minute
	lagAlone     = 50 * time.Millisecond
	ownerWait    = 10 * time.Minute // before a fourth node of a person asks again
)

// history remembers who has joined next to this node.
type history struct {
	off  bool
	byID map[ID]*arrivals
	lost [2]lostMember // the last two members that were lost, the last one first
}

type arrivals struct {
	left float64 // joins that it may make; below 0 only for returns
	asks float64 // questions that are answered
	at   time.Time
}

type lostMember struct {
	id ID
	at time.Time
}

func (a *arrivals) refill(now time.Time) {
	a.left = min(a.left+float64(now.Sub(a.at))/float64(joinsRefill), joinsAtOnce)
	a.asks = min(a.asks+float64(now.Sub(a.at))/float64(asksRefill), asksAtOnce)
	a.at = now
}

// take counts an arrival, unless it would leave fewer than least; wait is how long
// until it may be tried again.
func (h *history) take(id ID, now time.Time, least float64) (wait time.Duration) {
	if h.off {
		return 0
	}
	a := h.of(id, now)
	if a.left-1 < least {
		return time.Duration((least + joinsWait - a.left) * float64(joinsRefill))
	}
	a.left--
	return 0
}

func (h *history) of(id ID, now time.Time) *arrivals {
	if h.byID == nil {
		h.byID = make(map[ID]*arrivals)
	}
	a := h.byID[id]
	if a == nil {
		h.forget(now)
		a = &arrivals{left: joinsAtOnce, asks: asksAtOnce, at: now}
		h.byID[id] = a
	}
	a.refill(now)
	return a
}

// answers counts a question to be let in, and reports whether it is one of those
// that are answered.
func (h *history) answers(id ID, now time.Time) bool {
	if h.off {
		return true
	}
	a := h.of(id, now)
	if a.asks < 1 {
		return false
	}
	a.asks--
	return true
}

// forget makes room: first for those that may join as often as a stranger, then
// for the one that has joined least.
func (h *history) forget(now time.Time) {
	if len(h.byID) < maxHistories {
		return
	}
	var most ID
	left := float64(-2 * joinsAtOnce)
	for id, a := range h.byID {
		a.refill(now)
		if a.left > left || a.left == left && id.Compare(most) < 0 {
			most, left = id, a.left
		}
	}
	delete(h.byID, most)
}

// missed notes that a member was lost.
func (h *history) missed(id ID, now time.Time) {
	if h.lost[0].id != id {
		h.lost[1] = h.lost[0]
	}
	h.lost[0] = lostMember{id, now}
}

// alone reports whether no other member was lost of late.
func (h *history) alone(id ID, now time.Time) bool {
	for _, l := range h.lost {
		if l.id != id && !l.at.IsZero() && now.Sub(l.at) < aloneFor {
			return false
		}
	}
	return true
}

// bars says whether a node that asks to be let in has to wait as a client, and
// counts it where it has not.
func (m *Machine) bars(j wire.Peer) *wire.Error {
	if m.table.ofOwner(j.Owner, j.ID) >= MaxOfOwner && !m.table.diversity.off {
		m.refuse(RefusedOwnerFull)
		return waits(ownerWait, "%d nodes of this person are members of the ring already", MaxOfOwner)
	}
	if wait := m.history.take(j.ID, m.now, 0); wait > 0 {
		m.refuse(RefusedJoinsOften)
		return waits(wait, "it has joined the ring too often of late")
	}
	return nil
}

// barsReturn is bars for a node that says it is the predecessor and that this one
// does not know to be alive.
func (m *Machine) barsReturn(p wire.Peer) *wire.Error {
	if m.table.get(p.ID) != nil || m.lag > lagAlone || m.ring.Small() || !m.history.alone(p.ID, m.now) {
		return nil
	}
	if wait := m.history.take(p.ID, m.now, -joinsAtOnce); wait > 0 {
		m.refuse(RefusedJoinsOften)
		return waits(wait, "it has come back too often of late")
	}
	return nil
}

func waits(wait time.Duration, format string, args ...any) *wire.Error {
	e := wire.Errorf(wire.CodeTooMany, format, args...)
	e.Retry = uint32(wait / time.Millisecond)
	return e
}

// A WaitError says that the members next to a node's place do not let it in now.
type WaitError struct {
	For    time.Duration
	Reason string // why, for people
}

func (e *WaitError) Error() string {
	return fmt.Sprintf("chord: not let in for %s: %s", e.For.Round(time.Second), e.Reason)
}

// The bounds of what a member can make a node wait by its word. Less than that is
// a member that has too much to do just now.
const (
	leastWait = time.Minute
	mostWait  = 30 * time.Minute
)

// barred returns what a member has said to one that has to wait, or nil.
func barred(msg wire.Message) *WaitError {
	e, ok := msg.(*wire.Error)
	if !ok || e.Code != wire.CodeTooMany {
		return nil
	}
	wait := time.Duration(e.Retry) * time.Millisecond
	if wait < leastWait {
		return nil
	}
	return &WaitError{For: min(wait, mostWait), Reason: e.Reason}
}
