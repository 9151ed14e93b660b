package chord

import (
	"slices"
	"time"

	"github.com/secp2psip/secp2psip/internal/wire"
)

// Vantage is where an errand is made from.
type Vantage struct {
	View     *View         // what the node knows
	Patience time.Duration // added to every wait, for a machine that is short of processor time
	Refused  func(reason string)
	Calm     bool // nobody waits for the outcome: a look-up asks one member at a time while all goes well
}

// errand is a look-up, a fetch or a store as a step function: see the package
// comment.
type errand interface {
	Step(now time.Time, ev Event) []Effect
	Deadline() time.Time
	ended() bool
}

// GiveUp tells an errand that its caller wants no more of it. It ends with
// what it has.
type GiveUp struct{ Err error }

func (GiveUp) event() {}

// calls are the calls of one errand.
type calls struct {
	at     Vantage
	lastID uint64
	flying []flyingCall
	out    []Effect

	flyingBuf [searchParallel]flyingCall
	outBuf    [searchParallel]Effect
}

type flyingCall struct {
	id uint64
	to wire.Peer
}

// send has a node called, by the addresses and within the time that fit it.
func (c *calls) send(to wire.Peer, msg wire.Message) {
	to, timeout := c.at.View.reach(to)
	c.lastID++
	if c.flying == nil {
		c.flying = c.flyingBuf[:0]
	}
	c.flying = append(c.flying, flyingCall{c.lastID, to})
	c.out = append(c.out, Effect{Kind: Send, ID: c.lastID, To: to, Msg: msg, Timeout: timeout + c.at.Patience})
}

// landed returns whom an answer comes from; ok is false when it is not waited
// for any more.
func (c *calls) landed(r Result) (to wire.Peer, ok bool) {
	i := slices.IndexFunc(c.flying, func(f flyingCall) bool { return f.id == r.Call })
	if i < 0 {
		return wire.Peer{}, false
	}
	to = c.flying[i].to
	c.flying = slices.Delete(c.flying, i, i+1)
	return to, true
}

// begin starts a step.
func (c *calls) begin() { c.out = c.outBuf[:0] }

func (c *calls) refuse(reason string) {
	if c.at.Refused != nil {
		c.at.Refused(reason)
	}
}

// problem returns why a call has no useful answer, or nil.
func problem(r Result) error {
	if r.Err != nil {
		return r.Err
	}
	if e, ok := r.Msg.(*wire.Error); ok {
		return refusal{e}
	}
	return nil
}

// reach returns a peer as the node knows it, and how long to wait for its
// answer.
func (v *View) reach(p wire.Peer) (wire.Peer, time.Duration) {
	known := v.members.find(p.ID)
	if known == nil {
		return p, firstTimeout
	}
	if rtt := known.roundTrip(); rtt > 0 {
		return known.peer(), min(max(6*rtt, minTimeout), maxTimeout)
	}
	return known.peer(), firstTimeout
}

// heardShare is the part of the answers to errands that the machine is
// told of, to keep its round-trip times: one in so many.
const heardShare = 8

// Aftermath returns what a node's machine is to be told of a call that an
// errand made and that ended by itself; nil is nothing. dice is a random
// number.
func (v *View) Aftermath(to ID, r Result, dice uint32) Event {
	if r.Err != nil {
		return Suspect{ID: to}
	}
	if e, ok := r.Msg.(*wire.Error); ok && e.Code == wire.CodeUnavailable && e.Retry == 0 {
		return Suspect{ID: to}
	}
	if known := v.members.find(to); known != nil && (known.rtt == 0 || dice%heardShare == 0) {
		return Heard{ID: to, RTT: r.RTT}
	}
	return nil
}

// sooner returns the earlier of two deadlines; zero is never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
