package carry

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/secp2psip/secp2psip/sipbridge/message"
)

// fork is one of the callee's phones being rung (RFC 3261 §16.6).
type fork struct {
	target Target
	t      *clientTx
	done   bool
	result result
}

// result is a final answer but 2xx: of a phone, or ours for one.
type result struct {
	status  int
	reason  string
	warning string
	p       *parsed // nil if ours
	retry   time.Duration
	of      *fork // whose it is
}

// ring sends the INVITE of the tunnel to the callee's phones.
func (c *call) ring(w wireTx, p *parsed) {
	if p.method != "INVITE" || p.toTag != "" || p.fromTag == "" {
		c.refused(RefusedOtherCall)
		c.refuse(w, answer{status: 481, reason: "Call/Transaction Does Not Exist"})
		return
	}
	c.invite, c.callerTag = w, p.fromTag
	c.ringEnd = c.now.Add(c.e.cfg.RingTimeout)
	var wrong *problem
	for _, target := range c.targets {
		if wrong = c.ringOne(target, w, p); wrong != nil {
			break
		}
	}
	if wrong != nil {
		for _, f := range c.forks {
			c.cancelClient(f.t, "")
		}
		c.settled = true
		c.refuse(w, wrong.answer())
		c.end(wrong.status, wrong.warning)
		return
	}
	if len(c.forks) == 0 {
		c.settle(result{status: 480, reason: "Temporarily Unavailable", warning: "no phone of this name is registered now"})
	}
}

// ringOne sends it to one of them, or says why none can have it.
func (c *call) ringOne(target Target, w wireTx, p *parsed) *problem {
	if u, err := message.ParseURI([]byte(target.URI)); err != nil || !u.IsSIP() || len(target.URI) > maxTarget {
		return nil
	}
	f := &fork{target: target}
	body, described, wrong := w.via.sdpIn(p, f, 0)
	if wrong != nil {
		return wrong
	}
	c.forks = append(c.forks, f)
	self, peer := "<"+partyURI(c.own, target.Flow)+">", partyHere(c.peer, target.Flow)
	f.t = &clientTx{method: "INVITE", flow: target.Flow, alt: target.Flow, asked: w, fork: f, described: described,
		head: head{uri: target.URI, from: withTag(peer, c.callerTag), to: self, cseq: w.cseq}}
	fields := appendField(nil, "Record-Route", "<"+routeURI(target.Flow)+">")
	fields = appendField(fields, "P-Asserted-Identity", assertedIdentity(c.peer))
	c.start(f.t, append(fields, c.appendCrossing(nil, p, len(body) > 0, false)...), body, p.hops()-1)
	if f.t.endAt.After(c.now) {
		f.t.endAt = c.now.Add(c.e.cfg.SilentTimeout)
	}
	return nil
}

// forkDialog is the dialog that a phone's answer belongs to.
func (c *call) forkDialog(t *clientTx, from Flow, p *parsed) *dialog {
	d := t.asked.via.addDialog(p.toTag)
	switch {
	case d == nil:
		return nil
	case d.fork == nil:
		d.fork, d.target = t.fork, t.fork.target.URI
		d.self, d.peer = t.head.to, withTag(t.head.from, "")
		d.inviteSeq, d.cseq = t.head.cseq, t.head.cseq
	case d.fork != t.fork:
		c.refused(RefusedOtherCall) // two phones with one tag
		return nil
	}
	d.refresh(Flow{t.flow.Transport, from.Remote, t.flow.Local}, p)
	d.recordRoutes(p, false, routeURI(t.flow))
	return d
}

// forkAccepted: a phone was picked up. The first one has the call; every
// other, and one that comes after the caller has gone, is hung up.
func (c *call) forkAccepted(t *clientTx, from Flow, p *parsed, first bool) {
	if d := c.dialogs[p.toTag]; d != nil && d.confirmed && d.fork == t.fork && !c.over {
		c.passResponse(t.asked, p, t.phone()) // repeated: the ACK has not come through
		return
	}
	if c.settled || c.over || p.toTag == "" {
		c.hangUp(t, from, p)
		if p.toTag == "" && first {
			c.forkDone(t.fork, result{status: 502, reason: "Bad Gateway", warning: "the phone's answer has no tag"})
		}
		return
	}
	if _, wrong := t.asked.via.sdpOut(p, t.fork); wrong != nil { // it cannot be heard
		c.hangUp(t, from, p)
		c.forkDone(t.fork, result{status: wrong.status, reason: wrong.reason, warning: wrong.warning})
		return
	}
	d := c.forkDialog(t, from, p)
	if d == nil {
		c.hangUp(t, from, p)
		return
	}
	d.confirmed, c.settled, t.fork.done = true, true, true
	d.agreed(t.described)
	c.ringEnd = time.Time{}
	c.passResponse(t.asked, p, t.phone())
	c.report(Answered, func(i *Info) { i.Answered, i.Status, i.Left = c.e.cfg.Now(), p.Status, c.leave(d) })
	for _, f := range c.forks {
		c.cancelClient(f.t, elsewhere)
	}
}

// forkDone: a phone will not take the call.
func (c *call) forkDone(f *fork, r result) {
	if f.done {
		return
	}
	r.of = f
	f.done, f.result = true, r
	if c.settled {
		return
	}
	if r.status >= 600 { // RFC 3261 §16.7, step 5
		for _, other := range c.forks {
			c.cancelClient(other.t, "")
		}
	}
	if slices.ContainsFunc(c.forks, func(f *fork) bool { return !f.done }) {
		return
	}
	results := make([]result, len(c.forks))
	for i, f := range c.forks {
		results[i] = f.result
	}
	c.settle(slices.MinFunc(results, func(a, b result) int { return cmp.Compare(a.rank(), b.rank()) }))
}

// rank orders final answers, best first (RFC 3261 §16.7, step 6): a refusal
// for everywhere, what phones said themselves, what we say for silent ones;
// 487 only if there is nothing else.
func (r result) rank() int {
	switch {
	case r.status >= 600:
		return r.status - 1000
	case r.status == 487:
		return 3000
	case r.p == nil:
		return 2000 + r.status
	case r.status == 486:
		return 400 // before other 4xx: it tells the caller most
	}
	return r.status
}

// settle gives the caller the final answer and ends the call.
func (c *call) settle(r result) {
	if c.settled || c.over {
		return
	}
	c.settled = true
	if c.cancelled {
		r = result{status: 487, reason: "Request Terminated"}
	}
	if r.p != nil {
		c.passResponse(c.invite, r.p, r.of)
	} else {
		c.refuse(c.invite, answer{status: r.status, reason: r.reason, warning: r.warning})
	}
	why := r.reason
	if c.cancelled {
		why = c.cancelledWhy()
	} else if r.warning != "" {
		why += ": " + r.warning
	}
	c.end(r.status, why)
}

// forkSilent: a phone never answered, or rang and then fell silent.
func (c *call) forkSilent(t *clientTx) {
	r := result{status: 480, reason: "Temporarily Unavailable", warning: "the phone does not answer"}
	if t.provisional {
		r.status, r.reason = 408, "Request Timeout"
	}
	c.forkDone(t.fork, r)
}

// ringTimeout: nobody picked up, or the INVITE never came.
func (c *call) ringTimeout() {
	if c.invite.number == 0 {
		c.end(408, "the other side opened a call and did not make it")
		return
	}
	if c.settled {
		return
	}
	seconds := strconv.Itoa(int(c.e.cfg.RingTimeout.Seconds()))
	c.settle(result{status: 408, reason: "Request Timeout", warning: "nobody picked up within " + seconds + " s"})
}

// cancelForks: the caller has given up.
func (c *call) cancelForks(why string) {
	if c.settled {
		return
	}
	c.cancelled, c.elsewhere = true, isElsewhere(why)
	for _, f := range c.forks {
		c.cancelClient(f.t, why)
	}
	for _, f := range c.forks {
		if !f.t.provisional { // it cannot be cancelled, and need not be waited for
			c.forkDone(f, result{status: 487, reason: "Request Terminated"})
		}
	}
}

// hangUp ends at once what a phone has just begun.
func (c *call) hangUp(t *clientTx, from Flow, p *parsed) {
	d := &dialog{target: t.head.uri}
	d.refresh(Flow{t.flow.Transport, from.Remote, t.flow.Local}, p)
	d.recordRoutes(p, false, routeURI(t.flow))
	h := head{uri: d.target, from: t.head.from, to: string(p.Get(message.To)), cseq: t.head.cseq, routes: d.routes}
	ack := &clientTx{head: h, flow: d.flow}
	c.toPhone(d.flow, d.alt, c.request(ack, "ACK", c.newBranchID(), nil, nil, 70))
	if t.hungUp[p.toTag] || len(t.hungUp) >= maxDialogs {
		return
	}
	if t.hungUp == nil {
		t.hungUp = map[string]bool{}
	}
	t.hungUp[p.toTag] = true
	h.cseq++
	c.start(&clientTx{method: "BYE", head: h, flow: d.flow, alt: d.alt}, nil, nil, 70)
}
