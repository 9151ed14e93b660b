package chord

import (
	"slices"
	"time"

	"github.com/secp2psip/secp2psip/internal/wire"
)

// maxCalls bounds the calls that a machine has under way; those for its own
// place in the ring come on top, and there are never more than a few.
const maxCalls = 48

// callGrace is what the driver may take beyond a call's timeout to report it.
const callGrace = time.Second

type callKind uint8

const (
	callStabilize callKind = iota // the head's state, for StabilizeFromSuccessor
	callNextHead                  // the same after a dead head was dropped
	callCandidate                 // a candidate's state, for StabilizeFromPredecessor
	callNotify                    // tells the head about us
	callProbe                     // the state of anybody: does it live?
	callJoin                      // asks to be let in
	callWalk                      // the state of one member after the other
	callFind                      // a step of a finger's or the self-check's look-up
	callLeave                     // goodbye
	callGossip                    // news
	callDoubt                     // a notice, or what is said of a neighbour to itself
	callMembers                   // a part of the table
	callCertificates
)

type call struct {
	kind     callKind
	try      uint8
	peer     wire.Peer
	msg      wire.Message
	base     *wire.State // that a GetState says it has seen
	deadline time.Time
}

// flights are the calls under way, in the order of their IDs. They are few, and
// every step looks through all of them.
type flights []flight

type flight struct {
	id       uint64
	deadline time.Time // that of the call
	call     *call
}

// add takes in a call whose ID is above all others.
func (f *flights) add(id uint64, c *call) { *f = append(*f, flight{id, c.deadline, c}) }

// take removes a call and returns it; nil where there is none with that ID.
func (f *flights) take(id uint64) *call {
	for i, under := range *f {
		if under.id == id {
			*f = slices.Delete(*f, i, i+1)
			return under.call
		}
	}
	return nil
}

// overdue returns the ID of the first call whose time is up, 0 for none.
func (f flights) overdue(now time.Time) uint64 {
	for i := range f {
		if !f[i].deadline.After(now) {
			return f[i].id
		}
	}
	return 0
}

// retries reports whether another try comes before the verdict.
func (m *Machine) retries(c *call) bool {
	return c.try < m.loss.tries() && c.kind < callJoin && c.kind != callNotify
}

// call sends a request. It returns false when too many are under way.
func (m *Machine) call(kind callKind, p wire.Peer, msg wire.Message) bool {
	if kind >= callProbe && kind != callLeave && len(m.calls) >= maxCalls {
		return false
	}
	c := &call{kind: kind, try: 1, peer: p, msg: msg}
	if ask, ok := msg.(*wire.GetState); ok && ask.Seen != 0 {
		c.base = m.seen[p.ID].state
	}
	m.send(c)
	return true
}

func (m *Machine) send(c *call) {
	timeout := firstTimeout
	if known := m.table.get(c.peer.ID); known != nil {
		c.peer = known.peer()
		timeout = known.timeout(c.try)
	}
	timeout += 3 * m.lag
	m.lastID++
	c.deadline = m.now.Add(timeout + callGrace)
	m.calls.add(m.lastID, c)
	m.spent(c.msg)
	m.emit(Effect{Kind: Send, ID: m.lastID, To: c.peer, Msg: c.msg, Timeout: timeout})
}

// expireCalls fails calls that the driver has not reported in time.
func (m *Machine) expireCalls() {
	for id := m.calls.overdue(m.now); id != 0; id = m.calls.overdue(m.now) {
		m.finish(Result{Call: id, Err: ErrStopped})
	}
}

// answer is how a call ended, as far as the ring is concerned.
type answer uint8

const (
	answered answer = iota // a message of the type that was asked for
	refusedM               // the node lives but is not a member
	odd                    // the node lives and said something else
	silent                 // no answer
)

// maxOdd is how many odd answers in a row a member may give before it counts
// as dead.
const maxOdd = 5

// finish takes in the end of a call: an answer, a second try, or a verdict.
func (m *Machine) finish(r Result) {
	c := m.calls.take(r.Call)
	if c == nil {
		return
	}
	r.Msg = m.unchanged(c, r.Msg)
	how := m.classify(c, r)
	if known := m.table.get(c.peer.ID); how == silent && known != nil && m.retries(c) {
		m.table.mark(c.peer.ID, suspect, true)
		c.try++
		m.send(c)
		if c.peer.ID == m.ring.Head() && c.try == m.loss.tries() {
			m.checkList()
		}
		return
	}
	if c.kind == callProbe {
		delete(m.probing, c.peer.ID)
	}
	m.route(c, r.Msg, how)
}

func (m *Machine) classify(c *call, r Result) answer {
	if r.Err != nil || r.Msg == nil {
		return silent
	}
	known := m.table.edit(c.peer.ID)
	if known != nil {
		known.sample(r.RTT)
	}
	if e, ok := r.Msg.(*wire.Error); ok && e.Code == wire.CodeUnavailable && e.Retry == 0 {
		return refusedM // with Retry it is only busy
	}
	if m.expected(c, r.Msg) {
		m.loss.answered(c.try)
		m.greet(known)
		return answered
	}
	if barred(r.Msg) != nil {
		return odd
	}
	m.refuse(RefusedUnexpected)
	if known == nil {
		return odd
	}
	if known.setOdd(known.odd() + 1); known.odd() >= maxOdd {
		return refusedM
	}
	return odd
}

// expected reports whether msg is of the type that the call asked for. A state
// must be the answering node's own.
func (m *Machine) expected(c *call, msg wire.Message) bool {
	switch msg := msg.(type) {
	case *wire.State:
		return c.msg.Type() == wire.TypeGetState && msg.Self.ID == c.peer.ID
	case *wire.Found:
		return c.msg.Type() == wire.TypeFind
	case *wire.Joined:
		return c.msg.Type() == wire.TypeJoin
	case *wire.Ack:
		t := c.msg.Type()
		return t == wire.TypeNotify || t == wire.TypeLeave || t == wire.TypeGossip || t == wire.TypeDoubt
	case *wire.Members:
		return c.msg.Type() == wire.TypeGetMembers
	case *wire.Certificates:
		return c.msg.Type() == wire.TypeGetCertificates
	}
	return false
}

// route hands a call's end to the part that made the call.
func (m *Machine) route(c *call, msg wire.Message, how answer) {
	state, _ := msg.(*wire.State)
	if c.kind == callJoin {
		m.joinAnswered(c, msg, how)
		return
	}
	if m.phase == PhaseClient && c.kind == callFind {
		m.attended(c, msg, how)
	}
	if m.phase != PhaseJoined {
		return
	}
	if how == answered && state != nil {
		m.keepSeen(c, state)
		m.table.firsthand(m.self(c.peer, state.Self), m.now)
		m.learn(state)
	}
	if how == refusedM || how == silent && c.try > 1 {
		m.gone(c.peer.ID, how)
	}
	switch c.kind {
	case callStabilize, callNextHead, callCandidate:
		m.stabilized(c, state, how)
	case callProbe:
		m.probed(c, state, how)
	case callWalk:
		m.walked(c, state, how)
	case callFind:
		found, _ := msg.(*wire.Found)
		m.foundNext(c, found, how)
	case callNotify:
		if how == silent {
			m.suspected(c.peer.ID)
		}
	default:
		m.routeNews(c, msg, how)
	}
}

func (m *Machine) routeNews(c *call, msg wire.Message, how answer) {
	switch c.kind {
	case callGossip:
		m.gossiped(c, how)
	case callDoubt:
		if how != answered {
			m.suspected(c.peer.ID)
		}
	case callMembers:
		members, _ := msg.(*wire.Members)
		m.gotMembers(c, members, how)
	case callCertificates:
		certs, _ := msg.(*wire.Certificates)
		m.certified(c, certs, how)
	}
}

// seen is what a neighbour has answered last.
type seen struct {
	state  *wire.State
	digest uint64 // of it
}

// ask returns the question for a member's state that names what it said last, if
// that is still known.
func (m *Machine) ask(id ID) *wire.GetState {
	return &wire.GetState{Seen: m.seen[id].digest}
}

// keepSeen remembers a neighbour's answer.
func (m *Machine) keepSeen(c *call, s *wire.State) {
	if id := c.peer.ID; id == m.ring.Pred || m.ring.Succ.Contains(id) {
		if m.seen[id].state != s {
			m.seen[id] = seen{s, s.Digest()}
		}
	}
}

// unchanged returns the state that an answer stands for.
func (m *Machine) unchanged(c *call, msg wire.Message) wire.Message {
	if c.base == nil {
		return msg
	}
	switch msg := msg.(type) {
	case *wire.Unchanged:
		return c.base
	case *wire.Changed:
		if next := msg.Apply(c.base); next != nil {
			return next
		}
	}
	return msg
}

// self returns what a node says about itself, with the owner that is known for
// it where one is: a node names its addresses, not its owner.
func (m *Machine) self(known, says wire.Peer) wire.Peer {
	if known.Owner != (wire.Peer{}).Owner {
		says.Owner = known.Owner
	}
	return says
}

// alive notes a sign of life at first hand.
func (m *Machine) alive(id ID, rtt time.Duration) {
	c := m.table.edit(id)
	if c != nil {
		c.sample(rtt)
	}
	m.greet(c)
}

// greet is alive for what edit has returned.
func (m *Machine) greet(c *contact) {
	if c == nil {
		return
	}
	id := c.id()
	m.table.greet(c, m.now)
	if id == m.ring.Pred && m.predDead {
		m.predDead = false
		m.version++
	}
}

// suspected follows up a failed call: the node is left out of look-ups until it
// answers, and asked at once whether it lives.
func (m *Machine) suspected(id ID) {
	if m.phase == PhaseClient {
		m.clientFailed(id)
	}
	if m.phase != PhaseJoined {
		return
	}
	if m.table.get(id) == nil {
		return
	}
	if m.news.thin && !m.table.pinned(id) { // most likely it has gone; should it live, it will be heard of again
		m.table.remove(id)
		m.refuted.add(id, m.now, refutedFor)
		return
	}
	m.table.mark(id, suspect, true)
	m.probe(id)
}
