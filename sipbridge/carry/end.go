package carry

import (
	"strings"
	"time"

	"github.com/secp2psip/secp2psip/sipbridge/message"
)

// end ends the call: what our phone still asks is answered, what it is still
// asked is withdrawn, and the tunnel is closed once its frames are out. The
// transactions go on until nothing has to be repeated any more. status is the
// INVITE's, 0 if that has been answered before.
func (c *call) end(status int, why string) {
	if c.over {
		return
	}
	c.over = true
	c.ringEnd = time.Time{}
	c.cancel()
	for _, s := range c.servers {
		if s.status >= 200 {
			if s.acked || s.status < 300 || s.p.method != "INVITE" {
				s.endAt = earlier(s.endAt, c.now.Add(afterwards))
			}
			continue
		}
		switch s.p.method {
		case "BYE":
			c.respond(s, answer{status: 200, reason: "OK"})
		case "INVITE":
			c.respond(s, answer{status: 487, reason: "Request Terminated", warning: why})
		default:
			c.respond(s, answer{status: 481, reason: "Call/Transaction Does Not Exist"})
		}
	}
	for _, t := range c.clients {
		if t.status != 0 {
			t.endAt = earlier(t.endAt, c.now.Add(afterwards))
		} else if t.method == "INVITE" {
			c.cancelClient(t, "")
		}
	}
	c.keepFigures()
	for _, b := range c.branches {
		b.shut()
	}
	c.report(Ended, func(i *Info) {
		i.Ended, i.Reason = c.e.cfg.Now(), why
		if status != 0 {
			i.Status = status
		}
	})
	c.e.over()
	close(c.ended)
}

// afterwards is how long a finished call repeats its last words for a phone
// that lost them. One that asks later still is told by the front that there is
// no such call, which is as good an end.
const afterwards = 2 * t4

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// lost: the other side has gone without a word. Our phone gets the end of the
// call that the other phone did not send.
func (c *call) lost(why string) {
	if c.over {
		return
	}
	d := c.confirmedDialog()
	switch {
	case d != nil && d.leaving && d.why != "":
		c.end(0, d.hungUpWhy())
	case d != nil && d.leaving:
		c.end(0, "hung up")
	case d != nil:
		c.bye(d, why)
		c.end(0, why)
	case c.cancelled:
		if !c.incoming {
			c.respond(c.initial, answer{status: 487, reason: "Request Terminated"})
		}
		c.end(487, c.cancelledWhy())
	case c.incoming:
		for _, f := range c.forks {
			c.cancelClient(f.t, reason(why))
		}
		c.settled = true
		c.end(480, why)
	default:
		c.respond(c.initial, answer{status: 480, reason: "Temporarily Unavailable", warning: why})
		c.end(480, why)
	}
}

// bye hangs up our phone on the other one's behalf (RFC 3326 for the reason).
func (c *call) bye(d *dialog, why string) {
	if c.incoming && !d.acked {
		c.confirm(d, d.inviteSeq, nil, nil)
	}
	d.leaving = true
	d.cseq++
	c.start(&clientTx{method: "BYE", head: c.head(d, d.cseq), flow: d.flow, alt: d.alt, dialog: d},
		appendField(nil, "Reason", reason(why)), nil, 70)
}

// confirm acknowledges a 2xx of our phone's with that CSeq.
func (c *call) confirm(d *dialog, cseq uint32, fields, body []byte) {
	ack := &clientTx{head: c.head(d, cseq), flow: d.flow}
	c.toPhone(d.flow, d.alt, c.request(ack, "ACK", c.newBranchID(), fields, body, 70))
}

// reason is a Reason value; why is a text of ours.
func reason(why string) string {
	return `SIP;cause=503;text="` + strings.ReplaceAll(why, `"`, "'") + `"`
}

// reasonText is what an adapter's Reason says, "" for a phone's: people who hang
// up give none.
func reasonText(value string) string {
	text, ok := strings.CutPrefix(value, `SIP;cause=503;text="`)
	text, _, closed := strings.Cut(text, `"`)
	if !ok || !closed {
		return ""
	}
	return message.Clean(text, maxCancelReason)
}

func (d *dialog) hungUpWhy() string {
	if d.why == "" {
		return "hung up by the other side"
	}
	return "hung up by the other side: " + d.why
}
