package sipbridge

import (
	"bytes"
	"errors"
	"strconv"

	"github.com/secp2psip/secp2psip/sipbridge/message"
)

// agent names us in Warning fields.
const agent = "secp2psip"

// worker handles the messages of one socket or connection, one after the
// other. It never blocks: what takes time runs in the background.
type worker struct {
	b       *Bridge
	msg     message.Message
	req     message.Request
	out     []byte // the response being built
	scratch []byte
	tagText []byte
	proved  bool // the request at hand had its account's password
}

func newWorker(b *Bridge) *worker {
	return &worker{b: b, out: make([]byte, 0, 2048), scratch: make([]byte, 0, 512), tagText: make([]byte, 0, 16)}
}

// handle takes one whole message. It reports false if what came is no SIP, so
// that a stream that carries it is of no use.
func (w *worker) handle(data []byte, from *origin) bool {
	if len(bytes.Trim(data, "\r\n\x00")) == 0 {
		return true // a keep-alive (RFC 5626 §3.5); UDP needs no answer to it
	}
	if err := w.msg.Parse(data); err != nil {
		return w.fail(err, from)
	}
	if !w.msg.IsRequest() {
		w.response(from)
		return true
	}
	w.b.stats.requests.Add(1)
	if w.msg.Is("ACK") {
		w.ack(from)
		return true
	}
	fault, ok := w.msg.Check(&w.req)
	switch {
	case !ok:
		w.b.refused(RefusedUnanswerable)
	case fault != nil:
		w.fault(fault, from)
	default:
		w.request(from)
	}
	return true
}

// broken answers a message whose frame is wrong.
func (w *worker) broken(data []byte, from *origin, err error) {
	if perr := w.msg.Parse(data); errors.Is(perr, message.ErrNotSIP) {
		err = perr
	}
	w.fail(err, from)
}

// fail deals with what cannot be parsed.
func (w *worker) fail(err error, from *origin) bool {
	if errors.Is(err, message.ErrNotSIP) || !w.msg.IsRequest() {
		w.b.refused(RefusedNotSIP)
		w.b.nag(RefusedNotSIP)
		return false
	}
	w.b.stats.requests.Add(1)
	if _, ok := w.msg.Check(&w.req); !ok {
		w.b.refused(RefusedUnanswerable)
	} else if !w.msg.Is("ACK") {
		w.fault(message.Refuse(err), from)
	}
	return true
}

func (w *worker) fault(f *message.Fault, from *origin) {
	switch f.Code {
	case 405, 416, 420:
		w.b.refused(RefusedUnsupported)
	case 483:
		w.b.refused(RefusedHops)
	default:
		w.b.refused(RefusedMalformed)
	}
	w.begin(f.Code, f.Reason, from)
	if f.Code == 405 {
		w.line("Allow: ", message.Allow)
	}
	if len(f.Unsupported) > 0 {
		w.line("Unsupported: ", f.Unsupported)
	}
	w.out = message.AppendWarning(w.out, agent, f.Detail)
	w.send(from)
}

// request handles a valid request other than ACK.
func (w *worker) request(from *origin) {
	switch string(w.msg.Method) {
	case "INVITE":
		w.invite(from)
	case "CANCEL":
		w.cancel(from)
	case "REGISTER":
		w.register(from)
	default:
		if len(w.req.To.Tag()) > 0 && w.engine(from) {
			return
		}
		w.outOfDialog(from)
	}
}

// outOfDialog handles what belongs to no call.
func (w *worker) outOfDialog(from *origin) {
	inDialog := len(w.req.To.Tag()) > 0
	switch string(w.msg.Method) {
	case "OPTIONS":
		w.options(from)
	case "MESSAGE":
		w.text(from)
	case "SUBSCRIBE":
		if inDialog {
			w.noDialog(from)
			return
		}
		w.b.refused(RefusedUnsupported)
		w.begin(489, "Bad Event", from) // RFC 6665 §8.3.2
		w.line("Allow-Events: ", "")
		w.out = message.AppendWarning(w.out, agent, "this adapter offers no subscriptions")
		w.send(from)
	case "REFER":
		if inDialog {
			w.noDialog(from)
			return
		}
		w.b.refused(RefusedNoDialog)
		w.refuse(from, Forbidden("calls are transferred only from within a call"))
	default:
		w.noDialog(from)
	}
}

func (w *worker) noDialog(from *origin) {
	w.b.refused(RefusedNoDialog)
	w.refuse(from, refuse(481, "Call/Transaction Does Not Exist", "no such call goes through this adapter"))
}

// engine offers the message to the engine, which keeps no part of it.
func (w *worker) engine(from *origin) bool { return w.b.engine.Handle(from.flow, w.msg.Raw) }

// ack absorbs the ACK for a response of ours; any other is the engine's. It
// is never answered, so it is checked no further than to find its INVITE.
func (w *worker) ack(from *origin) {
	var err error
	if w.req.Hop, err = w.msg.Top(); err != nil || w.req.Hop.Fault != nil {
		w.b.refused(RefusedUnanswerable)
		return
	}
	if !hasCookie(w.req.Hop.Branch) {
		if fault, ok := w.msg.Check(&w.req); !ok || fault != nil {
			w.b.refused(RefusedMalformed)
			return
		}
	}
	key := w.b.exchanges.key(w, from.flow.Remote, w.msg.Method)
	if v, _ := w.b.exchanges.lookup(w, key, w.b.now()); v == isNew || v == isCarried {
		w.engine(from)
	}
}

// response passes a response to whoever sent the request.
func (w *worker) response(from *origin) {
	hop, err := w.msg.Top()
	if err == nil {
		err = hop.Fault
	}
	if err == nil && w.b.client.take(hop.Branch, w.msg.Raw) {
		return
	}
	if err != nil || !w.engine(from) {
		w.b.refused(RefusedResponse)
	}
}

// options answers for ourselves (RFC 3261 §11.2).
func (w *worker) options(from *origin) {
	w.begin(200, "OK", from)
	w.line("Allow: ", message.Allow)
	w.line("Accept: ", "application/sdp, text/plain")
	w.line("Supported: ", "")
	w.send(from)
}

// cancel ends a request in progress (RFC 3261 §9.2).
func (w *worker) cancel(from *origin) {
	key := w.b.exchanges.key(w, from.flow.Remote, w.msg.Method)
	v, p := w.b.exchanges.lookup(w, key, w.b.now())
	switch {
	case v == isPending && p.invite && !p.isAnswered():
		w.ok(from)
		w.b.finish(p, refuse(487, "Request Terminated", ""), nil)
	case v == isAnswered:
		// Whoever still cancels may have missed the answer.
		w.b.transmit(from, w.out, w.req.Hop.ReplyTo(from.flow.Remote))
		w.ok(from)
	case w.engine(from):
	case v == isPending:
		w.ok(from) // answered this moment
	default:
		w.noDialog(from)
	}
}

func (w *worker) ok(from *origin) {
	w.begin(200, "OK", from)
	w.send(from)
}

// refuse answers with a refusal, without remembering it.
func (w *worker) refuse(from *origin, r *Refusal) {
	w.begin(r.Code, message.Clean(r.Reason, 80), from)
	w.out = appendRefusal(w.out, r)
	w.send(from)
}

// begin starts the response in w.out; line and message.AppendWarning add to
// it, and send ends it.
func (w *worker) begin(code int, reason string, from *origin) {
	w.out = message.AppendStatus(w.out[:0], code, reason)
	w.out = w.msg.AppendEcho(w.out, &w.req, w.tag(), from.flow.Remote)
}

func (w *worker) line(name string, value any) {
	w.out = append(w.out, name...)
	switch v := value.(type) {
	case string:
		w.out = append(w.out, v...)
	case []byte:
		w.out = append(w.out, v...)
	}
	w.out = append(w.out, "\r\n"...)
}

func (w *worker) send(from *origin) {
	w.out = message.AppendEnd(w.out)
	w.b.transmit(from, w.out, w.req.Hop.ReplyTo(from.flow.Remote))
}

// tag returns the To tag for the request at hand.
func (w *worker) tag() []byte {
	w.tagText = strconv.AppendUint(w.tagText[:0], w.b.exchanges.tag(w), 36)
	return w.tagText
}

func appendRefusal(dst []byte, r *Refusal) []byte {
	if r.RetryAfter > 0 {
		dst = append(dst, "Retry-After: "...)
		dst = strconv.AppendInt(dst, int64((r.RetryAfter+999_999_999)/1_000_000_000), 10)
		dst = append(dst, "\r\n"...)
	}
	if r.Warning != "" {
		dst = message.AppendWarning(dst, agent, r.Warning)
	}
	return dst
}
