package simnet

import (
	"time"

	"github.com/secp2psip/secp2psip/chord"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// call is a request under way.
type call struct {
	from, to       int32 // numbers; to is none where nobody is at the address
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

// link is a connection; both its ends have it.
type link struct {
	ready int64 // when its handshake is through
	used  int64
	ended int64 // when one of its ends died; 0 = both live
}

// The product's bound of a node's connections and the silence after which one
// counts as dead (internal/link, Limits).
const (
	maxLinks = 512
	linkIdle = 45 * time.Second
)

// send makes a call. What comes of it is an evAnswer.
func (s *Sim) send(n *node, to wire.Peer, msg wire.Message, timeout time.Duration, id uint64, by int32) {
	ref := s.calls.take()
	c := s.calls.at(ref)
	*c = call{
		from: n.num, fromGen: n.gen, to: nobody, id: id, task: by, peer: to.ID, msg: msg,
		start: s.now, deadline: s.now + int64(timeout),
	}
	if by >= 0 {
		c.serial = s.tasks.at(by).serial
	}
	if to.ID == n.peer.ID { // a node's own records
		c.to, c.toGen, c.answer = n.num, n.gen, s.serve(n, n, msg)
		s.queue.push(event{at: s.now, kind: evAnswer, ref: ref})
		return
	}
	target := s.nodeAt(&to)
	if target == nil {
		s.queue.push(event{at: s.now, kind: evAnswer, ref: ref}) // no such address
		return
	}
	c.to, c.toGen = target.num, target.gen
	if !target.up() || target.side != n.side || target.nat {
		s.intoTheVoid(n, target, c)
		s.fail(ref)
		return
	}
	if target.peer.ID != to.ID && target.bad && s.adversary.kind == Goose {
		s.stats.handshake(s.measuring(), clientBytes, false)
		s.fail(ref)
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
	s.stats.sent(s.measuring(), msg, sends)
	at := max(s.now, ready) + int64(d)
	if !ok || at >= c.deadline {
		s.fail(ref)
		return
	}
	s.queue.push(event{at: at, kind: evRequest, ref: ref})
}

// refuseStranger ends a call whose handshake shows another certificate than the
// one expected. Links are kept by Node-ID, so each such call makes one anew.
func (s *Sim) refuseStranger(n, target *node, ref int32) {
	out, sends, _ := s.travel(n, target)
	back, sends2, _ := s.travel(target, n)
	s.stats.handshake(s.measuring(), clientBytes+serverBytes+(sends+sends2-2)*initialBytes, true)
	s.queue.push(event{at: min(s.now+int64(out+back), s.calls.at(ref).deadline), kind: evAnswer, ref: ref})
}

// fail ends a call at its deadline.
func (s *Sim) fail(ref int32) {
	s.queue.push(event{at: s.calls.at(ref).deadline, kind: evAnswer, ref: ref})
}

// intoTheVoid counts what is sent to a node that is not there: the request and
// its repetition on a link that was warm, else the first packets of a handshake.
func (s *Sim) intoTheVoid(n, target *node, c *call) {
	const packets = 2 // within the time that a call has
	if l := n.links[target.num]; l != nil && (l.ended == 0 || s.now < l.ended+int64(linkIdle)) {
		s.stats.sent(s.measuring(), c.msg, packets)
		return
	}
	delete(n.links, target.num)
	s.stats.handshake(s.measuring(), packets*initialBytes, false)
	s.stats.dials++
}

// connect returns when a link between two live nodes can be used, and whether
// it had to be made.
func (s *Sim) connect(a, b *node) (ready int64, cold bool) {
	if l := a.links[b.num]; l != nil && l.ended == 0 {
		s.touch(l)
		return l.ready, s.now < l.ready
	}
	out, sends, _ := s.travel(a, b)
	back, sends2, _ := s.travel(b, a)
	s.stats.handshake(s.measuring(), clientBytes+serverBytes+(sends+sends2-2)*initialBytes, true)
	l := &link{ready: s.now + int64(out+back), used: s.now}
	s.place(a, b, l)
	s.place(b, a, l)
	return l.ready, true
}

// place notes a link at one of its ends. The one unused for longest gives way.
func (s *Sim) place(a, b *node, l *link) {
	if len(a.links) >= maxLinks {
		oldest := nobody
		for num, l := range a.links {
			if oldest == nobody || l.used < a.links[oldest].used || l.used == a.links[oldest].used && num < oldest {
				oldest = num
			}
		}
		s.touch(a.links[oldest])
		delete(a.links, oldest)
		delete(s.nodes[oldest].links, a.num)
	}
	if a.links == nil {
		a.links = make(map[int32]*link)
	}
	a.links[b.num] = l
}

// touch notes that a link is in use, and counts the keep-alives since it last
// was.
func (s *Sim) touch(l *link) {
	since, until := max(l.used, s.from), min(s.now, s.to)
	if l.ended != 0 {
		until = min(until, l.ended+int64(linkIdle))
	}
	if s.from > 0 && until > since {
		s.stats.pingBytes += pingBytes * uint64((until-since)/int64(keepAlive))
	}
	l.used = s.now
}

// unlink ends a dead node's links. The other ends find out by themselves.
func (s *Sim) unlink(n *node) {
	for _, l := range n.links {
		s.touch(l)
		l.ended = s.now
	}
	n.links = nil
}

// chill cuts a live node's links, at both ends.
func (s *Sim) chill(n *node) {
	for num, l := range n.links {
		s.touch(l)
		delete(s.nodes[num].links, n.num)
	}
	n.links = nil
}

// settleLinks counts the keep-alives that are not counted yet.
func (s *Sim) settleLinks() {
	for _, n := range s.nodes {
		for _, l := range n.links {
			s.touch(l)
		}
	}
}

// arrive lets a node serve a request.
func (s *Sim) arrive(e event) {
	c := *s.calls.at(e.ref)
	n := s.nodes[c.to]
	if n.gen != c.toGen {
		s.fail(e.ref)
		return
	}
	from := s.nodes[c.from]
	if l := n.links[c.from]; l != nil && l.ended == 0 {
		s.touch(l)
	}
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
		s.fail(e.ref)
		return
	}
	d, sends, ok := s.travel(n, from)
	s.stats.sent(s.measuring(), answer, sends)
	at := s.now + int64(d)
	if !ok || at > c.deadline || from.gen != c.fromGen || from.side != n.side {
		s.fail(e.ref)
		return
	}
	s.calls.at(e.ref).answer = answer
	s.queue.push(event{at: at, kind: evAnswer, ref: e.ref})
}

// serve is what a node answers.
func (s *Sim) serve(n, from *node, msg wire.Message) wire.Message {
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
func (s *Sim) answered(e event) {
	c := *s.calls.at(e.ref)
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
