package carry

import (
	"strconv"
	"strings"
	"time"

	"github.com/secp2psip/secp2psip/sipbridge/message"
)

func itoa(n int) string { return strconv.Itoa(n) }

// head is what the requests of one transaction have in common.
type head struct {
	uri      string
	from, to string // with their tags
	cseq     uint32
	routes   []string
}

// clientTx is a request to our phone (RFC 3261 §17.1).
type clientTx struct {
	branch, method string
	head           head
	raw            []byte
	flow, alt      Flow
	asked          wireTx // the request in the tunnel that it serves
	dialog         *dialog
	fork           *fork
	described      []byte          // the session description in it, nil for none
	back           func()          // puts the relay back if the phone refuses
	wrong          *problem        // why its answer does not cross
	undoes         *clientTx       // the request whose answer did not
	hungUp         map[string]bool // tags of answers that came too late

	provisional bool
	status      int    // final
	ack         []byte // for a final answer to an INVITE but 2xx
	wantCancel  bool
	cancelWhy   string
	cancelled   bool

	retry          time.Duration
	retryAt, endAt time.Time
}

// start sends a request to our phone; nil if there are too many under way.
func (c *call) start(t *clientTx, fields, body []byte, hops int) *clientTx {
	if len(c.clients) >= maxKept {
		c.refused(RefusedTooMany)
		return nil
	}
	if t.branch == "" {
		t.branch = c.newBranchID()
	}
	t.raw = c.request(t, t.method, t.branch, fields, body, hops)
	t.endAt = c.now.Add(tx) // timers B and F
	if t.flow.Transport == "udp" {
		t.retry, t.retryAt = t1, c.now.Add(t1) // timers A and E
	}
	c.clients[t.key()] = t
	if !c.toPhone(t.flow, t.alt, t.raw) {
		t.retryAt, t.endAt = time.Time{}, c.now
	}
	return t
}

func (c *call) newBranchID() string {
	c.next++
	return branchPrefix + c.id + "." + strconv.FormatUint(c.next, 36)
}

// key tells a CANCEL from the INVITE with the same branch.
func (t *clientTx) key() string { return t.branch + " " + t.method }

// request writes a request to our phone.
func (c *call) request(t *clientTx, method, branch string, fields, body []byte, hops int) []byte {
	b := append([]byte(nil), method+" "+t.head.uri+" SIP/2.0\r\n"...)
	b = appendField(b, "Via", "SIP/2.0/"+strings.ToUpper(t.flow.Transport)+" "+sentBy(t.flow.Local)+";branch="+branch+";rport")
	for _, r := range t.head.routes {
		b = appendField(b, "Route", r)
	}
	b = appendField(b, "Max-Forwards", itoa(hops))
	b = appendField(b, "From", t.head.from)
	b = appendField(b, "To", t.head.to)
	b = appendField(b, "Call-ID", c.callID)
	b = appendField(b, "CSeq", strconv.FormatUint(uint64(t.head.cseq), 10)+" "+method)
	switch method {
	case "INVITE", "UPDATE", "REFER", "SUBSCRIBE", "NOTIFY":
		b = appendField(b, "Contact", "<"+hereURI(c.peer, t.flow)+">")
	}
	b = append(b, fields...)
	return appendBody(b, body)
}

// expireClient repeats, gives up or drops.
func (c *call) expireClient(t *clientTx) {
	if !t.retryAt.IsZero() && !c.now.Before(t.retryAt) {
		t.retry *= 2
		if t.method != "INVITE" || t.provisional {
			t.retry = min(t.retry, t2)
		}
		t.retryAt = c.now.Add(t.retry)
		c.toPhone(t.flow, t.alt, t.raw)
	}
	if c.now.Before(t.endAt) {
		return
	}
	if t.status != 0 || t.method == "CANCEL" {
		delete(c.clients, t.key())
		return
	}
	// The phone did not answer. It may yet do so.
	t.status, t.retryAt, t.endAt = 408, time.Time{}, c.now.Add(tx)
	if t.fork != nil {
		c.forkSilent(t)
	} else if !c.undone(t, Flow{}, nil) {
		t.settle(false)
		c.refuse(t.asked, answer{status: 408, reason: "Request Timeout", warning: "the phone does not answer"})
	}
	if t.ends() {
		c.end(0, "hung up")
	}
}

// answered takes a response of our phone.
func (c *call) answered(from Flow, p *parsed) {
	t := c.clients[p.branch+" "+p.method]
	if t == nil || p.cseq != t.head.cseq {
		return // late, or a stray
	}
	if t.method != "INVITE" {
		c.plainAnswered(t, from, p)
		return
	}
	switch {
	case p.Status < 200:
		c.provisional(t, from, p)
	case p.Status >= 300:
		c.acknowledge(t, p)
		if t.status == 0 {
			c.finish(t, p.Status)
			c.rejected(t, p)
		}
	case t.status >= 300: // accepted after we had given up
		c.hangUp(t, from, p)
	default:
		first := t.status == 0
		c.finish(t, p.Status)
		c.accepted(t, from, p, first)
	}
}

// ends tells a BYE for the call from one for an early dialog or for a phone
// that was picked up too late.
func (t *clientTx) ends() bool { return t.method == "BYE" && t.dialog != nil && t.dialog.confirmed }

// acknowledge confirms a final answer but 2xx, also when it comes again
// (RFC 3261 §17.1.1.3).
func (c *call) acknowledge(t *clientTx, p *parsed) {
	if t.status > 0 && t.status < 300 {
		return
	}
	if t.ack == nil {
		ack := *t
		ack.head.to = string(p.Get(message.To))
		t.ack = c.request(&ack, "ACK", t.branch, nil, nil, 70)
	}
	c.toPhone(t.flow, t.alt, t.ack)
}

// finish stops the timers; the transaction stays for what is repeated.
func (c *call) finish(t *clientTx, status int) {
	if t.status == 0 {
		t.endAt = c.now.Add(tx)
	}
	t.status, t.retryAt = status, time.Time{}
	if status >= 300 {
		t.settle(false)
	}
}

func (c *call) plainAnswered(t *clientTx, from Flow, p *parsed) {
	if t.status != 0 {
		return
	}
	if p.Status < 200 {
		t.provisional = true
		return // no provisional answer to such a request crosses (RFC 4320 §4.1)
	}
	c.finish(t, p.Status)
	t.endAt = c.now.Add(t4) // timer K, on streams too: it costs nothing
	if t.method == "CANCEL" {
		return
	}
	if c.undone(t, from, p) || c.unfit(t, from, p) {
		return
	}
	if t.method == "UPDATE" && t.dialog != nil && p.Status < 300 {
		t.dialog.refresh(from, p)
	}
	c.passResponse(t.asked, p, t.phone())
	if t.ends() {
		c.end(0, t.dialog.hungUpWhy())
	}
}

// provisional: the phone has been reached.
func (c *call) provisional(t *clientTx, from Flow, p *parsed) {
	if t.status != 0 {
		return
	}
	if !t.provisional {
		t.provisional, t.retryAt = true, time.Time{}
		t.endAt = c.now.Add(c.e.cfg.RingTimeout + plainTimeout)
	}
	if t.wantCancel {
		c.cancelClient(t, t.cancelWhy)
	}
	if p.Status == 100 || t.cancelled {
		return
	}
	if t.fork != nil {
		if p.toTag != "" && c.forkDialog(t, from, p) == nil {
			return
		}
		if p.Status == 180 || p.Status == 183 {
			c.rings()
		}
	}
	if !c.unfitEarly(t, p) {
		c.passResponse(t.asked, p, t.phone())
	}
}

func (c *call) rings() {
	if c.info.State == Started { // only this goroutine writes it
		c.report(Ringing, nil)
	}
}

// rejected: a final answer but 2xx.
func (c *call) rejected(t *clientTx, p *parsed) {
	if t.fork != nil {
		c.forkDone(t.fork, result{status: p.Status, reason: p.reason(), p: p})
		return
	}
	switch {
	case c.undone(t, Flow{}, p):
	case t.wrong != nil:
		c.refuse(t.asked, t.wrong.answer())
	default:
		c.passResponse(t.asked, p, t.phone())
	}
}

// accepted: a 2xx to an INVITE, perhaps repeated.
func (c *call) accepted(t *clientTx, from Flow, p *parsed, first bool) {
	if t.fork != nil {
		c.forkAccepted(t, from, p, first)
		return
	}
	if t.undoes != nil || t.wrong != nil { // nobody else does
		c.confirm(t.dialog, t.head.cseq, nil, nil)
	}
	switch {
	case first && (c.undone(t, from, p) || c.unfit(t, from, p)), t.undoes != nil, t.wrong != nil:
		return
	case first:
		t.dialog.refresh(from, p)
	}
	c.passResponse(t.asked, p, t.phone())
}

// cancelClient withdraws an INVITE from our phone, as soon as it has shown
// that it got it (RFC 3261 §9.1). why is a Reason value or "".
func (c *call) cancelClient(t *clientTx, why string) {
	if t.status != 0 || t.cancelled {
		return
	}
	if t.wantCancel = true; why != "" {
		t.cancelWhy = why
	}
	if !t.provisional {
		return
	}
	t.cancelled = true
	t.endAt = c.now.Add(tx)
	var fields []byte
	if t.cancelWhy != "" {
		fields = appendField(nil, "Reason", t.cancelWhy)
	}
	c.start(&clientTx{branch: t.branch, method: "CANCEL", head: t.head, flow: t.flow, alt: t.alt}, fields, nil, 70)
}
