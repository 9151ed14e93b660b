package carry

import (
	"context"
	"net/netip"
	"time"

	"github.com/secp2psip/secp2psip/sipbridge/message"
)

// serverKey names a request of our phone. ACK and CANCEL are looked up under
// the INVITE that they belong to.
type serverKey struct {
	txKey
	method string
}

func keyOf(from Flow, p *parsed, method string) serverKey {
	return serverKey{txKey{p.branch, p.sentBy, from.Remote.Addr().Unmap()}, method}
}

// serverTx is a request of our phone and its answer (RFC 3261 §17.2). What a
// proxy's INVITE transaction does after a 2xx is RFC 6026's: it stays to
// swallow repeated INVITEs, and the 2xx itself is repeated from end to end.
type serverTx struct {
	key    serverKey
	p      *parsed
	source netip.AddrPort
	flow   Flow // where answers go
	// number is that under which it crossed, 0 if it did not; via is where. An
	// INVITE that forks is the first request of each of its branches.
	number uint64
	via    *branch

	status int    // of the last answer
	last   []byte // the last answer
	acked  bool
	back   func() // puts the relay back if it is refused

	retry          time.Duration
	retryAt, endAt time.Time
}

// answer is a response in the making.
type answer struct {
	status  int
	reason  string
	warning string // text of a Warning
	toTag   string
	fields  []byte // further header fields, CRLF included
	body    []byte
}

// newServer begins a transaction; nil if there are too many.
func (c *call) newServer(from Flow, p *parsed) *serverTx {
	s := c.serverOf(from, p)
	if c.crossing() >= maxPending {
		c.refused(RefusedTooMany)
		c.respond(s, answer{status: 503, reason: "Service Unavailable", warning: "too many requests at once in this call"})
		return nil
	}
	if len(c.servers) >= maxKept {
		c.dropOldest()
	}
	c.servers[s.key] = s
	return s
}

func (c *call) serverOf(from Flow, p *parsed) *serverTx {
	s := &serverTx{key: keyOf(from, p, p.method), p: p, source: from.Remote, flow: from, endAt: c.now.Add(plainTimeout)}
	if p.method == "INVITE" {
		s.endAt = c.now.Add(c.e.cfg.RingTimeout + plainTimeout)
	}
	if from.Transport == "udp" {
		s.flow.Remote = p.req.Hop.ReplyTo(from.Remote)
	}
	return s
}

func (c *call) dropOldest() {
	var oldest *serverTx
	for _, s := range c.servers {
		if s.status >= 200 && (oldest == nil || s.endAt.Before(oldest.endAt)) {
			oldest = s
		}
	}
	if oldest != nil {
		c.dropServer(oldest)
	}
}

func (c *call) dropServer(s *serverTx) {
	delete(c.servers, s.key)
	for _, b := range c.branches {
		if b.crossed[s.number] == s {
			delete(b.crossed, s.number)
		}
	}
}

// respond answers the phone, and starts what an answer starts.
func (c *call) respond(s *serverTx, a answer) {
	if s.back != nil && a.status >= 300 { // before the phone knows
		s.back()
	}
	if a.status >= 200 {
		s.back = nil
	}
	s.status, s.last = a.status, c.response(s, a)
	c.toPhone(s.flow, s.fallback(), s.last)
	if a.status < 200 {
		return
	}
	linger := time.Duration(tx)
	if s.flow.Transport != "udp" && s.p.method != "INVITE" {
		linger = 0 // nothing is lost on the way: RFC 3261 §17.2.2, timer J
	}
	s.endAt = c.now.Add(linger)
	if s.p.method == "INVITE" && a.status >= 300 {
		s.retry = t1
		if s.flow.Transport == "udp" {
			s.retryAt = c.now.Add(t1) // timer G
		}
	}
}

// response writes an answer to a request of our phone.
func (c *call) response(s *serverTx, a answer) []byte {
	b := message.AppendStatus(nil, a.status, message.Clean(a.reason, 128))
	if a.toTag == "" && a.status > 100 {
		a.toTag = c.id // no dialog comes of it; RFC 3261 §8.2.6.2 wants a tag
	}
	b = s.p.AppendEcho(b, &s.p.req, []byte(a.toTag), s.source)
	if a.status > 100 && a.status < 300 {
		switch s.p.method {
		case "INVITE":
			b = appendField(b, "Record-Route", "<"+routeURI(s.flow)+">")
			for i := range s.p.Fields {
				if message.EqualFold(s.p.Fields[i].Name, "record-route") {
					b = appendField(b, "Record-Route", string(s.p.Fields[i].Value))
				}
			}
			b = appendField(b, "P-Asserted-Identity", assertedIdentity(c.peer))
			fallthrough
		case "UPDATE", "REFER", "SUBSCRIBE", "NOTIFY":
			b = appendField(b, "Contact", "<"+hereURI(c.peer, s.flow)+">")
		}
	}
	b = append(b, a.fields...)
	if w := c.e.warning(a.warning); w != "" {
		b = appendField(b, "Warning", w)
	}
	return appendBody(b, a.body)
}

// fallback is where an answer goes when the connection that the request came
// on is gone (RFC 3261 §18.2.2).
func (s *serverTx) fallback() Flow {
	f := s.flow
	port := s.p.req.Hop.Port
	if port == 0 {
		port = 5060
	}
	f.Remote = netip.AddrPortFrom(s.flow.Remote.Addr(), port)
	return f
}

// expireServer repeats or drops.
func (c *call) expireServer(s *serverTx) {
	if !s.retryAt.IsZero() && !c.now.Before(s.retryAt) {
		s.retry = min(2*s.retry, t2)
		s.retryAt = c.now.Add(s.retry)
		c.toPhone(s.flow, s.fallback(), s.last)
	}
	if c.now.Before(s.endAt) {
		return
	}
	if s.status >= 200 {
		c.dropServer(s)
		return
	}
	// Nothing came back through the tunnel.
	if s == c.initial {
		c.giveUp()
		return
	}
	c.respond(s, answer{status: 408, reason: "Request Timeout", warning: noAnswer})
}

// repeated handles a request that has been seen, and the ACK and CANCEL that
// belong to an INVITE. It reports whether p was one of these.
func (c *call) repeated(from Flow, p *parsed) bool {
	method := p.method
	if method == "ACK" || method == "CANCEL" {
		method = "INVITE"
	}
	s := c.servers[keyOf(from, p, method)]
	if s == nil {
		return false
	}
	switch {
	case p.method == "CANCEL":
		c.cancelServer(from, s, p)
	case p.method == "ACK" && s.status >= 300:
		s.acked, s.retryAt = true, time.Time{}
		s.endAt = c.now // timer I on streams
		if s.flow.Transport == "udp" {
			s.endAt = c.now.Add(t4)
		}
	case p.method == "ACK":
		return false // an old phone's ACK for a 2xx, under the INVITE's branch
	case s.last != nil:
		c.toPhone(s.flow, s.fallback(), s.last)
	}
	return true
}

// cancelServer: our phone gives up (RFC 3261 §16.10). The CANCEL is answered
// here, the INVITE by whoever rings at the other end, or here if nobody does.
func (c *call) cancelServer(from Flow, s *serverTx, p *parsed) {
	ok := c.serverOf(from, p)
	c.toPhone(ok.flow, ok.fallback(), c.response(ok, answer{status: 200, reason: "OK", toTag: c.id}))
	switch {
	case s.status >= 200:
	case s.number == 0: // the tunnel is not open yet
		c.respond(s, answer{status: 487, reason: "Request Terminated"})
		if s == c.initial {
			c.end(487, "cancelled by the caller")
		}
	default:
		s.endAt = c.now.Add(tx)
		why := message.Clean(p.field("Reason"), maxCancelReason)
		if s == c.initial {
			c.cancelBranches(why)
		} else {
			s.via.send(frame{kindCancel, s.number, []byte(why)})
		}
	}
}

// toPhone writes a message to a phone. Over a stream that is gone it tries the
// address that the phone itself named.
func (c *call) toPhone(to, fallback Flow, msg []byte) bool {
	ctx, cancel := context.WithTimeout(context.Background(), sendTimeout)
	defer cancel()
	err := c.e.cfg.Sender.Send(ctx, to, msg)
	if err != nil && to.Transport != "udp" && fallback.Remote.IsValid() && fallback != to {
		err = c.e.cfg.Sender.Send(ctx, fallback, msg)
	}
	if err != nil {
		c.e.cfg.Log.Debug().Err(err).Str("transport", to.Transport).Msg("cannot send to a phone")
	}
	return err == nil
}

// appendBody ends a message.
func appendBody(dst, body []byte) []byte {
	if len(body) == 0 {
		return message.AppendEnd(dst)
	}
	dst = appendField(dst, "Content-Length", itoa(len(body)))
	dst = append(dst, "\r\n"...)
	return append(dst, body...)
}

// finalWanted tells whether a response may still go to that request.
func (s *serverTx) finalWanted(status int) bool {
	if s.status < 200 {
		return true
	}
	// A repeated 2xx of the same phone (RFC 6026 §7.1).
	return s.p.method == "INVITE" && s.status < 300 && status >= 200 && status < 300
}
