package carry

import "github.com/secp2psip/secp2psip/sipbridge/message"

// fromTunnel takes a frame. The other adapter is who it says, but may be
// anybody's: nothing it sends can reach a phone outside this call, name
// another caller, or bring a phone more than the call needs.
func (b *branch) fromTunnel(data []byte) {
	c := b.c
	if c.over || b.done {
		return
	}
	b.heardAt = c.now
	f, err := decodeFrame(data)
	if err != nil {
		c.refused(RefusedFrame)
		return
	}
	switch f.kind {
	case kindCancel:
		b.cancelFromTunnel(f)
		return
	case kindReport:
		heard, _ := readReport(f.payload) // decodeFrame has read it
		c.e.update(c, func(*Info) { b.heard = heard })
		return
	}
	p, err := readWire(f.payload)
	switch {
	case err != nil || p.IsRequest() != (f.kind == kindRequest):
		c.refused(RefusedFrame)
	case p.callID != c.wireID:
		c.refused(RefusedOtherCall)
	case p.IsRequest():
		b.requestFromTunnel(f.number, p)
	default:
		b.responseFromTunnel(f.number, p)
	}
}

func (b *branch) requestFromTunnel(number uint64, p *parsed) {
	c := b.c
	if (p.method == "ACK") != (number == 0) || number != 0 && number <= b.seen {
		c.refused(RefusedTransaction)
		return
	}
	b.seen = max(b.seen, number)
	w := b.wireTxOf(number, p)
	switch {
	case !mayCross(p.method):
		c.refused(RefusedMethod)
		c.refuse(w, answer{status: 405, reason: "Method Not Allowed"})
		return
	case p.hops() == 0:
		c.refuse(w, answer{status: 483, reason: "Too Many Hops"})
		return
	case c.incoming && c.invite.number == 0:
		c.ring(w, p)
		return
	}
	d := c.dialogOf(p, false)
	if d == nil || d.via != b || b.late() {
		c.refused(RefusedOtherCall)
		c.refuse(w, answer{status: 481, reason: "Call/Transaction Does Not Exist"})
		return
	}
	if p.method == "ACK" {
		c.ackToPhone(p, d)
		return
	}
	c.toDialog(w, p, d)
}

// toDialog sends a request of the tunnel to our phone.
func (c *call) toDialog(w wireTx, p *parsed, d *dialog) {
	if c.pending() >= maxPending {
		c.refused(RefusedTooMany)
		c.refuse(w, answer{status: 503, reason: "Service Unavailable", warning: "too many requests at once in this call"})
		return
	}
	fields, ok := c.referTo(p, d.flow, false)
	if !ok {
		c.refused(RefusedTarget)
		c.refuse(w, answer{status: 403, reason: "Forbidden", warning: "calls can be transferred only to somebody of this overlay"})
		return
	}
	if d.undoing && changes(p.method) {
		c.refuse(w, answer{status: 491, reason: "Request Pending"})
		return
	}
	t := &clientTx{method: p.method, flow: d.flow, alt: d.alt, asked: w, dialog: d, back: d.via.mark(p)}
	body, described, wrong := d.via.sdpIn(p, d.phone(), d.shift)
	if wrong != nil {
		t.settle(false)
		c.refuse(w, wrong.answer())
		return
	}
	if p.method == "BYE" {
		d.leaving, d.why = true, reasonText(p.field("Reason"))
	}
	t.described, t.head = described, c.head(d, d.numbered(p))
	fields = append(fields, c.appendCrossing(nil, p, len(body) > 0, false)...)
	if c.start(t, fields, body, p.hops()-1) == nil {
		t.settle(false)
		c.refuse(w, answer{status: 503, reason: "Service Unavailable", warning: "too many requests in this call"})
	}
}

// pending counts the requests that our phone has not answered.
func (c *call) pending() (n int) {
	for _, t := range c.clients {
		if t.status == 0 {
			n++
		}
	}
	return n
}

func (c *call) ackToPhone(p *parsed, d *dialog) {
	if !d.confirmed {
		c.refused(RefusedOtherCall)
		return
	}
	d.acked = true
	body, described, wrong := d.via.sdpIn(p, d.phone(), d.shift)
	d.agreed(described)
	c.confirm(d, d.numberOf(p.cseq), c.appendCrossing(nil, p, len(body) > 0, false), body)
	if wrong != nil {
		c.fail(d, wrong)
	}
}

func (b *branch) responseFromTunnel(number uint64, p *parsed) {
	c, s := b.c, b.crossed[number]
	switch {
	case s == nil:
		c.refused(RefusedTransaction)
		return
	case p.method != s.p.method || p.cseq != s.p.cseq || p.fromTag != s.p.fromTag:
		c.refused(RefusedOtherCall)
		return
	case p.Status == 100:
		return
	case s == c.initial && b.late():
		b.tooLate(p)
		return
	case !s.finalWanted(p.Status):
		c.refused(RefusedTransaction)
		return
	}
	var d *dialog
	if s == c.initial && p.Status < 300 {
		if d = b.calleeDialog(p); d == nil && (p.toTag != "" || p.Status >= 200) {
			return
		}
	}
	if s == c.initial && p.Status >= 300 {
		b.finish(result{status: p.Status, reason: p.reason(), p: p})
		return
	}
	body, described, wrong := b.bodyFor(s, p)
	if s == c.initial && p.Status >= 200 && s.status < 200 {
		if wrong != nil {
			b.turnAway(p, result{status: wrong.status, reason: wrong.reason, warning: wrong.warning})
			return
		}
		if !c.take(b) {
			c.refused(RefusedRevoked)
			b.turnAway(p, result{status: 403, reason: "Forbidden", warning: "the device that was picked up has been revoked"})
			return
		}
	} else if wrong != nil && b.unfitAnswer(s, p, wrong) {
		return
	}
	b.deliver(s, d, p, body)
	if in := orDefault(d, c.dialogOf(s.p, true)); in != nil && (p.Status >= 200 || p.field("RSeq") != "") {
		in.agreed(described)
	}
}

// bodyFor is the body of an answer for our phone, nil if there is something wrong
// with it, and the description in it.
func (b *branch) bodyFor(s *serverTx, p *parsed) (body, described []byte, wrong *problem) {
	if s == b.c.initial && !b.heardEarly(p) {
		return nil, nil, nil
	}
	d, later := b.c.dialogOf(s.p, true), uint32(0)
	if d != nil {
		later = d.shift
	}
	return b.sdpIn(p, d.phone(), later)
}

// deliver gives our phone an answer.
func (b *branch) deliver(s *serverTx, d *dialog, p *parsed, body []byte) {
	c := b.c
	a := answer{status: p.Status, reason: p.reason(), toTag: p.toTag, body: body}
	c.adjust(&a, p, s)
	a.fields = append(a.fields, c.appendCrossing(nil, p, len(a.body) > 0, false)...)
	c.respond(s, a)
	b.afterResponse(s, d, a)
}

// adjust mends what a final answer must not bring to our phone.
func (c *call) adjust(a *answer, p *parsed, s *serverTx) {
	switch {
	case p.Status >= 300 && p.Status < 400:
		if a.fields = c.contactsIn(p, s.flow); a.fields == nil {
			c.refused(RefusedTarget)
			a.status, a.reason, a.warning = 480, "Temporarily Unavailable", "the other phone forwards its calls to somewhere outside"
		}
	case p.Status == 401 || p.Status == 407:
		a.status, a.reason, a.warning = 403, "Forbidden", "the other phone demands a password of its own"
	}
}

// calleeDialog is the dialog that an answer to the INVITE belongs to; nil if
// it may not have one.
func (b *branch) calleeDialog(p *parsed) *dialog {
	c := b.c
	if p.toTag == "" {
		if p.Status >= 200 {
			c.refused(RefusedOtherCall)
		}
		return nil
	}
	if was := c.confirmedDialog(); was != nil && was.tag != p.toTag {
		c.refused(RefusedSecondCall)
		return nil
	}
	d := b.addDialog(p.toTag)
	if d != nil && d.target == "" {
		in := c.initial
		d.self, d.peer = withTag(string(in.p.Get(message.From)), ""), withTag(string(in.p.Get(message.To)), "")
		d.inviteSeq, d.said = in.p.cseq, in.p.cseq
		d.target = hereURI(c.own, Flow{Transport: in.flow.Transport, Local: in.source})
		d.refresh(Flow{in.flow.Transport, in.source, in.flow.Local}, in.p)
		d.recordRoutes(in.p, true, routeURI(in.flow))
	}
	return d
}

// afterResponse does what an answer to our phone means for the call.
func (b *branch) afterResponse(s *serverTx, d *dialog, a answer) {
	c := b.c
	switch {
	case s == c.initial && a.status < 200:
		if a.status == 180 || a.status == 183 {
			c.rings()
		}
	case s == c.initial && a.status < 300:
		if !d.confirmed {
			d.confirmed = true
			c.report(Answered, func(i *Info) { i.Answered, i.Status, i.Left = c.e.cfg.Now(), a.status, c.leave(d) })
		}
	case s == c.initial:
		why := a.reason
		if c.cancelled {
			why = c.cancelledWhy()
		}
		c.end(a.status, why)
	case a.status < 200:
	case s.p.method == "BYE" && c.dialogOf(s.p, true).ended():
		c.end(0, "hung up")
	case s.p.method != "INVITE":
		delete(b.crossed, s.number)
	}
}

// cancelFromTunnel: the other phone withdraws an INVITE.
func (b *branch) cancelFromTunnel(f frame) {
	c := b.c
	found := false
	for _, t := range c.clients {
		if t.asked.number == f.number && t.asked.via == b && f.number != 0 && t.method == "INVITE" && t.fork == nil {
			found = true
			c.cancelClient(t, string(f.payload))
		}
	}
	if c.incoming && f.number == c.invite.number && f.number != 0 {
		found = true
		c.cancelForks(string(f.payload))
	}
	if !found {
		c.refused(RefusedTransaction)
	}
}
