package carry

import (
	"slices"
	"strconv"
	"strings"

	"github.com/secp2psip/secp2psip/internal/media"
	"github.com/secp2psip/secp2psip/sipbridge/message"
)

// A session is changed by an offer and its answer (RFC 3264), and a change that
// is refused leaves everything as it was (RFC 3261 §14.1). The relay follows an
// offer at once, so it is put back with the refusal. An answer that cannot cross,
// since it hides an address, say, is a change that only one phone knows of: the
// offer is refused to the phone that made it, and the other one, which believes
// it to be accepted, is offered again what it had before. For that this adapter
// speaks in the other phone's place, and numbers what that one says afterwards
// anew. Where there is no way back, as after an ACK, which nobody can refuse,
// both are hung up and told why.

// change is what a dialog keeps for that.
type change struct {
	// shown is the description that our phone has of the other side, nil for none.
	shown []byte
	// Our phone sees the other phone's CSeq increased by shift, up to since by
	// shiftWas; asked is the highest before that.
	shift, shiftWas, since, asked uint32
	undoing                       bool // a request of our own is under way
}

// agreed notes what our phone knows of the other side now; nil is nothing new.
func (d *dialog) agreed(described []byte) {
	if described != nil {
		d.shown = slices.Clone(described)
	}
}

// numberOf is the CSeq under which our phone gets, or has got, a request.
func (d *dialog) numberOf(cseq uint32) uint32 {
	if cseq <= d.since {
		return cseq + d.shiftWas
	}
	return cseq + d.shift
}

// numbered gives a new request of the tunnel its number, and the INVITE that a
// PRACK names (RFC 3262 §7.2) the one that our phone knows.
func (d *dialog) numbered(p *parsed) uint32 {
	d.asked = max(d.asked, p.cseq)
	for i := range p.Fields {
		f := &p.Fields[i]
		words := strings.Fields(string(f.Value))
		if d.shift == 0 || !message.EqualFold(f.Name, "RAck") || len(words) != 3 {
			continue
		}
		if n, err := strconv.ParseUint(words[1], 10, 31); err == nil {
			f.Value = []byte(words[0] + " " + strconv.FormatUint(uint64(d.numberOf(uint32(n))), 10) + " " + words[2])
		}
	}
	number := d.numberOf(p.cseq)
	d.cseq = max(d.cseq, number)
	return number
}

// changes tells whether requests of a method may change the session.
func changes(method string) bool {
	return method == "INVITE" || method == "UPDATE" || method == "PRACK"
}

// mark returns what puts the relay back to before a request with a description.
func (b *branch) mark(p *parsed) func() {
	if b.media == nil || len(p.Body) == 0 || !changes(p.method) {
		return nil
	}
	return b.media.Mark()
}

// settle: the phone has answered, or never will.
func (t *clientTx) settle(accepted bool) {
	if t.back != nil && !accepted {
		t.back()
	}
	t.back = nil
}

// unfitEarly takes a reliable provisional answer (RFC 3262), whose description
// counts, out of the way if that cannot cross: the INVITE fails. Any other is a
// preview of the answer, which does without.
func (c *call) unfitEarly(t *clientTx, p *parsed) bool {
	if t.undoes != nil || t.asked.via == nil || p.field("RSeq") == "" {
		return false
	}
	_, wrong := t.asked.via.sdpOut(p, t.phone())
	if wrong == nil {
		return false
	}
	t.wrong = wrong
	c.cancelClient(t, "")
	if t.fork != nil {
		c.forkDone(t.fork, result{status: wrong.status, reason: wrong.reason, warning: wrong.warning})
	}
	return true
}

// unfit takes back a change to which our phone has agreed in a way that cannot
// cross.
func (c *call) unfit(t *clientTx, from Flow, p *parsed) bool {
	d := t.dialog
	if d == nil || !changes(t.method) || p.Status >= 300 {
		return false
	}
	if _, wrong := d.via.sdpOut(p, t.phone()); wrong != nil && t.wrong == nil {
		t.wrong = wrong
		if t.method == "INVITE" {
			c.confirm(d, t.head.cseq, nil, nil)
		}
	}
	t.settle(t.wrong == nil)
	if t.wrong == nil {
		d.agreed(t.described)
		return false
	}
	d.refresh(from, p)
	c.undo(t)
	return true
}

// undo offers our phone once more what it had before.
func (c *call) undo(t *clientTx) {
	d := t.dialog
	if c.over {
		return
	}
	if !d.confirmed || d.leaving || d.shown == nil || t.described == nil {
		c.notUndone(t)
		return
	}
	d.since, d.shiftWas = d.asked, d.shift
	d.shift++
	d.cseq++
	d.undoing = true
	method := t.method
	if method == "PRACK" {
		method = "UPDATE"
	}
	again := &clientTx{method: method, head: c.head(d, d.cseq), flow: d.flow, alt: d.alt, dialog: d, undoes: t,
		described: media.WithVersion(d.shown, media.Version(t.described)+1)}
	if c.start(again, appendField(nil, "Content-Type", "application/sdp"), again.described, 70) == nil {
		c.notUndone(t)
	}
}

// undone takes the answer to such an offer, nil if there is none, and then
// refuses what has been undone; false if t is none.
func (c *call) undone(t *clientTx, from Flow, p *parsed) bool {
	was, d := t.undoes, t.dialog
	if was == nil {
		return false
	}
	d.undoing = false
	if p == nil || p.Status >= 300 {
		c.notUndone(was)
		return true
	}
	if _, wrong := d.via.sdpOut(p, t.phone()); wrong != nil {
		c.notUndone(was)
		return true
	}
	d.refresh(from, p)
	d.agreed(t.described)
	c.refuse(was.asked, was.wrong.answer())
	return true
}

// notUndone: the two phones cannot be brought to one session any more.
func (c *call) notUndone(t *clientTx) {
	t.dialog.undoing = false
	c.refuse(t.asked, t.wrong.answer())
	c.fail(t.dialog, t.wrong)
}

// unfitAnswer refuses our phone what the other side agrees to with a description
// that cannot reach it. An adapter that keeps the rules lets none cross.
func (b *branch) unfitAnswer(s *serverTx, p *parsed, wrong *problem) bool {
	c := b.c
	switch {
	case p.Status >= 300, !changes(s.p.method), p.Status < 200 && p.field("RSeq") == "":
		return false // it does without
	case s == c.initial:
		b.withdraw("")
		b.finish(result{status: wrong.status, reason: wrong.reason, warning: wrong.warning})
		return true
	}
	d := c.dialogOf(s.p, true)
	c.respond(s, wrong.answer())
	if p.Status >= 200 && s.p.method == "INVITE" {
		b.say(0, "ACK", s.p.cseq, d.tag, nil)
	}
	c.fail(d, wrong)
	return true
}

// fail ends a call whose session is not the same at both ends, or would not be.
func (c *call) fail(d *dialog, wrong *problem) {
	switch {
	case c.over:
	case d.confirmed:
		if b := d.via; !d.leaving {
			b.sent++
			b.say(b.sent, "BYE", d.said+1, d.tag, appendField(nil, "Reason", reason(wrong.warning)))
		}
		c.bye(d, wrong.warning)
		c.end(0, wrong.warning)
	case c.incoming:
		c.settle(result{status: wrong.status, reason: wrong.reason, warning: wrong.warning})
	default:
		for _, b := range c.branches {
			b.withdraw("")
		}
		if c.initial.status < 200 {
			c.respond(c.initial, wrong.answer())
		}
		c.end(wrong.status, wrong.warning)
	}
}
