package simnet

import (
	"time"

	"github.com/secp2psip/secp2psip/chord"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// call is a request under way.
type call struct {
	from, to       int32  // numbers; to is none where nobody is at the address
	stamp          uint32 // no two calls of a shard have the same
	seq            uint64 // of all that happens to it
	home           int32  // its place in the other shard, where it comes from there
	foreign        bool
	fromGen, toGen uint32
	id             uint64 // of the machine, the keeper or the task
	task           int32  // who asked
	serial         uint32 // of the task
	cold           bool   // it took a handshake
	start          int64
	deadline       int64
	peer           chord.ID
	msg            wire.Message
	answer         wire.Message // nil = none in time
}

const (
	byMachine = int32(-1)
	byKeeper  = int32(-2)
	nobody    = int32(-1)
)

// reply is what a machine answered in the step under way.
type reply struct {
	token uint64
	msg   wire.Message
}

// send makes a call. What comes of it is an evAnswer.
func (s *shard) send(n *node, to wire.Peer, msg wire.Message, timeout time.Duration, id uint64, by int32) {
	ref := s.calls.take()
	s.stamps++
	c := s.calls.at(ref)
	*c = call{
		stamp: s.stamps, seq: n.order(), from: n.num, fromGen: n.gen, to: nobody, id: id, task: by, peer: to.ID, msg: msg,
		start: s.now, deadline: s.now + int64(timeout),
	}
	if by >= 0 {
		c.serial = s.tasks.at(by).serial
	}
	if to.ID == n.peer.ID { // a node's own records
		c.to, c.toGen = n.num, n.gen
		answer := s.serve(n, n, msg) // which may make calls of its own
		s.calls.at(ref).answer = answer
		s.finish(ref, s.now)
		return
	}
	target := s.nodeAt(&to)
	if target == nil {
		s.finish(ref, s.now) // no such address
		return
	}
	c.to, c.toGen = target.num, target.gen
	if !target.up() || target.side != n.side || target.nat {
		s.intoTheVoid(n, target, c)
		s.finish(ref, c.deadline)
		return
	}
	if target.peer.ID != to.ID && target.bad && s.adversary.kind == Goose {
		s.stats.handshake(s.measuring(), clientBytes, false)
		s.finish(ref, c.deadline)
		return
	}
	if target.peer.ID != to.ID {
		s.refuseStranger(n, target, ref)
		return
	}
	ready, cold := s.connect(n, target)
	c.cold = cold
	if cold && by >= 0 {
		s.stats.taskShakes++
	}
	d, sends, ok := s.travel(n, target)
	s.stats.sent(s.measuring(), msg, nil, sends)
	at := max(s.now, ready) + int64(d)
	if !ok || at >= c.deadline {
		s.finish(ref, c.deadline)
		return
	}
	s.deliver(target, ref, at)
}

// deliver lets a request reach its target at a time. One that goes to the other
// shard ends at its deadline unless an answer comes before.
func (s *shard) deliver(target *node, ref int32, at int64) {
	c := s.calls.at(ref)
	e := event{at: at, seq: c.seq, kind: evRequest, ref: ref}
	if target.shard == uint8(s.index) {
		s.queue.push(e)
		return
	}
	away := *c
	away.home, away.foreign = ref, true
	s.out = append(s.out, transit{event: e, call: away})
	s.finish(ref, c.deadline)
}

// refuseStranger ends a call whose handshake shows another certificate than the
// one expected. Links are kept by Node-ID, so each such call makes one anew.
func (s *shard) refuseStranger(n, target *node, ref int32) {
	out, sends, _ := s.travelBy(n, n, target)
	back, sends2, _ := s.travelBy(n, target, n)
	s.stats.handshake(s.measuring(), clientBytes+serverBytes+(sends+sends2-2)*initialBytes, true)
	s.finish(ref, min(s.now+int64(out+back), s.calls.at(ref).deadline))
}

// finish ends a call of this shard at a time, with the answer that there is by
// then. What ends first counts.
func (s *shard) finish(ref int32, at int64) {
	c := s.calls.at(ref)
	s.queue.push(event{at: at, seq: c.seq, kind: evAnswer, ref: ref, gen: c.stamp})
}

// unanswered ends a call, at its target, to which nothing is said.
func (s *shard) unanswered(ref int32) {
	if c := s.calls.at(ref); !c.foreign {
		s.finish(ref, c.deadline)
		return
	}
	s.calls.put(ref) // its own shard ends it
}

// intoTheVoid counts what is sent to a node that is not there: the request and
// its repetition on a link that was warm, else the first packets of a handshake.
func (s *shard) intoTheVoid(n, target *node, c *call) {
	const packets = 2 // within the time that a call has
	if l := n.links[target.num]; l != nil && (l.gen == target.gen || l.gen+1 == target.gen && s.now < target.diedAt+int64(linkIdle)) {
		s.stats.sent(s.measuring(), c.msg, nil, packets)
		return
	}
	if l := n.links[target.num]; l != nil {
		s.touch(l, target)
		delete(n.links, target.num)
	}
	s.stats.handshake(s.measuring(), packets*initialBytes, false)
	s.stats.dials++
}

// arrive lets a node serve a request.
func (s *shard) arrive(e event) {
	c := *s.calls.at(e.ref)
	n := s.nodes[c.to]
	if n.gen != c.toGen {
		s.unanswered(e.ref)
		return
	}
	from := s.nodes[c.from]
	s.accept(n, from, c.fromGen)
	answer, swapped := wire.Message(nil), false
	if n.bad {
		answer, swapped = s.swap(n, c.msg)
	}
	if !swapped {
		answer = s.serve(n, from, c.msg)
		if n.bad {
			answer = s.twist(n, answer)
		}
	}
	if answer == nil {
		s.unanswered(e.ref)
		return
	}
	d, sends, ok := s.travel(n, from)
	s.stats.sent(s.measuring(), answer, c.msg, sends)
	at := s.now + int64(d)
	if !ok || at > c.deadline || from.gen != c.fromGen || from.side != n.side {
		s.unanswered(e.ref)
		return
	}
	if c.foreign {
		s.calls.put(e.ref)
		s.out = append(s.out, transit{event: event{at: at, seq: c.seq, kind: evAnswer, ref: c.home, gen: c.stamp}, answer: answer})
		return
	}
	s.calls.at(e.ref).answer = answer
	s.finish(e.ref, at)
}

// serve is what a node answers.
func (s *shard) serve(n, from *node, msg wire.Message) wire.Message {
	if s.cfg.RoutingOnly {
		if ask, ok := msg.(*wire.Fetch); ok {
			return s.fetched(n, ask)
		}
		return s.frozen(n, from, msg)
	}
	switch msg.(type) {
	case *wire.Store, *wire.StoreMany, *wire.Offer, *wire.Fetch:
		if n.keeping != nil {
			return n.keeping.keeper.Serve(s.at(s.now), n.viewOf(), from.peer, msg)
		}
	}
	token := uint64(len(s.replies)) + 1
	before := len(s.replies)
	s.step(n, chord.Request{Token: token, From: from.peer, Msg: msg})
	var answer wire.Message
	for _, r := range s.replies[before:] {
		if r.token == token {
			answer = r.msg
		}
	}
	s.replies = s.replies[:before]
	return answer
}

// answered reports the end of a call to who made it.
func (s *shard) answered(e event) {
	c := *s.calls.at(e.ref)
	if c.foreign || c.stamp != e.gen {
		return // it has ended before
	}
	s.calls.put(e.ref)
	n := s.nodes[c.from]
	if n.gen != c.fromGen {
		return
	}
	r := chord.Result{Call: c.id, Msg: c.answer, RTT: time.Duration(s.now - c.start)}
	if c.answer == nil {
		r.Err = errSilent
	}
	switch c.task {
	case byMachine:
		s.step(n, r)
	case byKeeper:
		s.aftermath(n, &c, r)
		s.keep(n, r)
	default:
		s.aftermath(n, &c, r)
		s.taskAnswer(n, &c, r)
	}
}
