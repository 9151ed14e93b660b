package carry

import (
	"strconv"
	"time"
)

// fromPhone takes a request of our phone.
func (c *call) fromPhone(from Flow, p *parsed) {
	fault, ok := p.Check(&p.req)
	if !ok || c.repeated(from, p) {
		return
	}
	d := c.dialogOf(p, true)
	if p.method == "ACK" {
		c.ackFromPhone(from, p, d)
		return
	}
	s := c.newServer(from, p)
	if s == nil {
		return
	}
	switch {
	case fault != nil:
		a := answer{status: fault.Code, reason: fault.Reason, warning: fault.Detail}
		if len(fault.Unsupported) > 0 {
			a.fields = appendField(nil, "Unsupported", string(fault.Unsupported))
		}
		c.respond(s, a)
	case c.over && p.method == "BYE": // both hung up at once
		c.respond(s, answer{status: 200, reason: "OK"})
	case c.over || d == nil || p.method == "CANCEL" || !d.via.open():
		c.respond(s, answer{status: 481, reason: "Call/Transaction Does Not Exist"})
	case !mayCross(p.method):
		c.refused(RefusedMethod)
		c.respond(s, answer{status: 405, reason: "Method Not Allowed"})
	default:
		c.cross(s, d)
	}
}

// dialogOf finds the dialog by the tags; fromUs tells the direction.
func (c *call) dialogOf(p *parsed, fromUs bool) *dialog {
	caller, callee := p.fromTag, p.toTag
	if c.incoming == fromUs {
		caller, callee = callee, caller
	}
	if caller != c.callerTag || callee == "" {
		return nil
	}
	return c.dialogs[callee]
}

// cross sends a request of our phone through the tunnel.
func (c *call) cross(s *serverTx, d *dialog) {
	p := s.p
	fields, ok := c.referTo(p, s.flow, true)
	if !ok {
		c.refused(RefusedTarget)
		c.respond(s, answer{status: 403, reason: "Forbidden", warning: "calls can be transferred only to somebody of this overlay"})
		return
	}
	s.back = d.via.mark(p)
	body, wrong := d.via.sdpOut(p, d.phone())
	if wrong != nil {
		c.respond(s, wrong.answer())
		return
	}
	d.said = max(d.said, p.cseq)
	switch p.method {
	case "INVITE":
		c.respond(s, answer{status: 100, reason: "Trying"})
		d.refresh(s.flow, p)
	case "UPDATE":
		d.refresh(s.flow, p)
	case "BYE":
		d.leaving = true
	}
	if s.flow.Transport == "tcp" {
		d.flow = s.flow // perhaps a new connection
	}
	d.via.sendRequest(s, fields, body)
}

// sendRequest gives the request its number and sends it.
func (b *branch) sendRequest(s *serverTx, fields, body []byte) {
	c := b.c
	b.sent++
	s.via, s.number = b, b.sent
	b.crossed[s.number] = s
	fields = append(fields, c.appendCrossing(nil, s.p, len(body) > 0, true)...)
	b.send(frame{kindRequest, s.number, c.wireRequest(s.p, fields, body)})
}

// ackFromPhone: the ACK for a 2xx goes from end to end.
func (c *call) ackFromPhone(from Flow, p *parsed, d *dialog) {
	if d == nil || !d.confirmed || c.over {
		return
	}
	d.acked = true
	if from.Transport == "tcp" {
		d.flow = from
	}
	body, wrong := d.via.sdpOut(p, d.phone())
	d.via.send(frame{kindRequest, 0, c.wireRequest(p, c.appendCrossing(nil, p, len(body) > 0, true), body)})
	if wrong != nil {
		c.fail(d, wrong)
	}
}

func (r *Refusal) answer() answer {
	a := answer{status: r.Code, reason: r.Reason, warning: r.Warning}
	if r.RetryAfter > 0 {
		seconds := (r.RetryAfter + time.Second - 1) / time.Second
		a.fields = appendField(nil, "Retry-After", strconv.FormatInt(int64(seconds), 10))
	}
	return a
}
