package carry

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/secp2psip/secp2psip/internal/media/relay"
)

// A callee with several devices has as many adapters. The caller's adapter asks
// them all: the call has a branch to each, with a tunnel, media and numbers of
// its own, as a proxy that forks has (RFC 3261 §16.6, 16.7). Every branch rings;
// the first that is answered has the call, and the others are withdrawn.

// branch is the way of a call through one tunnel. The call's goroutine owns it,
// but for media and heard, which belong to Engine.mu where that goroutine does
// not only read them.
type branch struct {
	c       *call
	opens   Opener             // caller's side
	path    string             // "" as long as it is the call's
	stop    context.CancelFunc // ends opens
	ctx     context.Context
	tunnel  *pipe // nil before
	media   *relay.Session
	crossed map[uint64]*serverTx // requests of our phone by their number in the tunnel
	sent    uint64               // the last of those numbers
	seen    uint64               // the highest number that came out of the tunnel

	reportAt, heardAt time.Time // when to report, and when the other side was last heard
	heard             report    // the other side's last

	dialogCount int
	done        bool      // nothing is to be expected of it any more
	until       time.Time // when that is so at the latest, once it has been withdrawn
	result      result    // the answer to the INVITE but 2xx, once done
}

func (c *call) newBranch(opens Opener) *branch {
	b := &branch{c: c, opens: opens, crossed: map[uint64]*serverTx{}}
	b.ctx, b.stop = context.WithCancel(c.ctx)
	return b
}

// fork makes the branches of an outgoing call.
func (c *call) fork(opens []Opener) {
	c.branches = nil
	for _, o := range opens[:min(len(opens), MaxBranches)] {
		c.branches = append(c.branches, c.newBranch(o))
	}
	c.branch = c.branches[0]
}

func (c *call) forked() bool { return len(c.branches) > 1 }

// dial opens the tunnel of a branch.
func (b *branch) dial() {
	ctx, cancel := context.WithTimeout(b.ctx, openTimeout)
	defer cancel()
	t, path, err := b.opens(ctx)
	if !b.c.post(upInput{b, t, path, err}) && err == nil {
		_ = t.Close()
	}
}

// open: requests can cross.
func (b *branch) open() bool { return b.tunnel != nil && !b.done && !b.late() }

// late: another branch has the call, or nobody.
func (b *branch) late() bool {
	in := b.c.initial
	return in != nil && in.status >= 200 && b != b.c.branch
}

func (b *branch) pathOf() string { return orDefault(b.path, b.c.info.Path) }

// up sends the INVITE through the tunnel, which is open now, or notes why not.
func (b *branch) up(t Tunnel, path string, err error) {
	c := b.c
	if c.over || b.done || b.late() {
		if err == nil {
			c.e.wg.Go(func() { _ = t.Close() })
		}
		return
	}
	if err != nil {
		b.refuse(asRefusal(err))
		return
	}
	b.path = path
	if err := b.openMedia(t); err != nil {
		c.e.wg.Go(func() { _ = t.Close() })
		b.refuse(&Refusal{Code: 503, Reason: "Service Unavailable", Warning: "the media of this call cannot be carried: " + err.Error()})
		return
	}
	b.attach(t)
	body, wrong := b.sdpOut(c.initial.p, nil)
	if wrong != nil {
		b.refuse(&Refusal{Code: wrong.status, Reason: wrong.reason, Warning: wrong.warning})
		return
	}
	b.sendRequest(c.initial, nil, body)
}

// refuse: this adapter answers for the one that the branch leads to.
func (b *branch) refuse(r *Refusal) {
	b.finish(result{status: r.Code, reason: r.Reason, warning: r.Warning, retry: r.RetryAfter})
}

// finish: the INVITE has a final answer but 2xx from this branch.
func (b *branch) finish(r result) {
	c := b.c
	b.result = r
	if c.forked() {
		b.shut()
	}
	b.done = true
	if r.p != nil && r.status >= 600 { // RFC 3261 §16.7, step 5
		for _, other := range c.branches {
			other.withdraw("")
		}
	}
	c.decide()
}

// gone: the other adapter is, without a word.
func (b *branch) gone(why string) {
	c := b.c
	switch {
	case c.over || b.done:
	case b.late():
		b.shut()
	case c.forked() && c.initial.status < 200:
		b.finish(result{status: 480, reason: "Temporarily Unavailable", warning: why})
	default:
		c.lost(why)
	}
}

// withdraw takes the INVITE back from a branch; why is a Reason value or "".
func (b *branch) withdraw(why string) {
	switch {
	case b.done || !b.until.IsZero():
	case b.tunnel == nil:
		b.shut()
		b.result = result{status: 487, reason: "Request Terminated"}
	default:
		b.until = b.c.now.Add(tx)
		b.send(frame{kindCancel, b.c.initial.number, []byte(why)})
	}
}

// shut closes a branch for good.
func (b *branch) shut() {
	b.done, b.until, b.reportAt = true, time.Time{}, time.Time{}
	b.stop()
	clear(b.crossed)
	if b.tunnel != nil {
		b.tunnel.close()
	}
	if b.media != nil {
		_ = b.media.Close()
	}
}

// expire does what is due.
func (b *branch) expire() {
	b.keepReporting()
	switch {
	case b.until.IsZero() || b.c.now.Before(b.until):
	case b.late():
		b.shut()
	default:
		b.finish(result{status: 487, reason: "Request Terminated"})
	}
}

// elsewhere is the Reason with which phones that ring on are silenced, so that
// they show no missed call (RFC 3326).
const elsewhere = `SIP;cause=200;text="Call completed elsewhere"`

func isElsewhere(reason string) bool { return strings.Contains(reason, "cause=200") }

func (c *call) cancelledWhy() string {
	if c.elsewhere {
		return "answered on another device"
	}
	return "cancelled by the caller"
}

// take gives the call to the first branch that is answered; false if it may not
// have it.
func (c *call) take(b *branch) bool {
	if t, ok := b.tunnel.t.(Standing); ok && !t.Stands() {
		return false
	}
	c.e.update(c, func(i *Info) {
		c.branch, i.Path, i.Peer = b, b.pathOf(), b.tunnel.t.RemoteIP()
	})
	b.until = time.Time{}
	for _, other := range c.branches {
		if other != b {
			other.withdraw(elsewhere)
		}
	}
	return true
}

// turnAway: who was picked up cannot have the call.
func (b *branch) turnAway(p *parsed, why result) {
	b.hangUp(p.toTag)
	b.finish(why)
}

// tooLate takes the answer of a branch after the call has gone to another one:
// who was picked up all the same is hung up at once (RFC 3261 §13.2.2.4).
func (b *branch) tooLate(p *parsed) {
	if p.Status < 200 {
		return
	}
	if p.Status < 300 && p.toTag != "" {
		b.c.refused(RefusedSecondCall)
		b.hangUp(p.toTag)
	}
	b.shut()
}

// hangUp ends what the phone at the other end has just begun.
func (b *branch) hangUp(tag string) {
	seq := b.c.initial.p.cseq
	b.say(0, "ACK", seq, tag, nil)
	b.say(b.sent+1, "BYE", seq+uint32(b.sent), tag, appendField(nil, "Reason", elsewhere))
}

// say sends a request of our own in a dialog of our phone's, whose callee's tag
// is given.
func (b *branch) say(number uint64, method string, cseq uint32, tag string, fields []byte) {
	c, to := b.c, overlayURI(b.c.peer)
	own, other := c.callerTag, tag
	if c.incoming {
		own, other = other, own
	}
	m := append([]byte(nil), method+" "+to+" SIP/2.0\r\nMax-Forwards: 70\r\n"...)
	m = appendField(m, "From", tagged(overlayURI(c.own), own))
	m = appendField(m, "To", tagged(to, other))
	m = appendField(m, "Call-ID", c.wireID)
	m = appendField(m, "CSeq", strconv.FormatUint(uint64(cseq), 10)+" "+method)
	b.send(frame{kindRequest, number, appendBody(append(m, fields...), nil)})
}

// cancelBranches: our phone gives up.
func (c *call) cancelBranches(why string) {
	c.cancelled = true
	for _, b := range c.branches {
		b.withdraw(why)
	}
	c.decide()
}

const noAnswer = "the other side does not answer"

// giveUp: the INVITE has waited long enough.
func (c *call) giveUp() {
	for _, b := range c.branches {
		if !b.done {
			b.shut()
			b.result = result{status: 408, reason: "Request Timeout", warning: noAnswer}
		}
	}
	c.decide()
}

// decide answers our phone once no branch can be picked up any more: with the
// best of their answers (RFC 3261 §16.7, step 6).
func (c *call) decide() {
	if c.over || c.initial.status >= 200 || slices.ContainsFunc(c.branches, func(b *branch) bool { return !b.done }) {
		return
	}
	best := slices.MinFunc(c.branches, func(x, y *branch) int { return cmp.Compare(x.result.rank(), y.result.rank()) })
	r := best.result
	switch {
	case c.cancelled && (c.forked() || r.p == nil):
		c.respond(c.initial, answer{status: 487, reason: "Request Terminated"})
		c.end(487, c.cancelledWhy())
	case r.p != nil:
		body, _, _ := best.bodyFor(c.initial, r.p)
		best.deliver(c.initial, nil, r.p, body)
	default:
		refusal := &Refusal{Code: r.status, Reason: r.reason, Warning: r.warning, RetryAfter: r.retry}
		c.respond(c.initial, refusal.answer())
		c.end(r.status, refusal.Error())
	}
}

// heardEarly tells whether the session description of an answer to the INVITE
// reaches our phone. Before the call is answered only one branch's does, the
// first that has one: two early media would sound at once. What is reliable
// (RFC 3262) passes, for the answer that it brings comes once.
func (b *branch) heardEarly(p *parsed) bool {
	c := b.c
	if p.Status >= 200 || !c.forked() || len(p.Body) == 0 || p.field("RSeq") != "" {
		return true
	}
	if c.early == nil || c.early.done {
		c.early = b
	}
	return c.early == b
}

// crossing counts the requests of our phone that wait for an answer.
func (c *call) crossing() (n int) {
	for _, b := range c.branches {
		n += len(b.crossed)
	}
	return n
}

// awaitTunnels waits until all are closed.
func (c *call) awaitTunnels() {
	for _, b := range c.branches {
		if b.tunnel != nil {
			<-b.tunnel.done
		}
	}
}
