package carry

import (
	"errors"
	"net/netip"
	"strconv"

	"github.com/secp2psip/secp2psip/sipbridge/message"
)

// wireTx is a request that came out of the tunnel, as its answers need it.
type wireTx struct {
	via            *branch
	number         uint64 // 0: none, nobody waits for an answer
	method         string
	cseq           uint32
	fromTag, toTag string
}

func (b *branch) wireTxOf(number uint64, p *parsed) wireTx {
	return wireTx{b, number, p.method, p.cseq, p.fromTag, p.toTag}
}

// tagged is how adapters write From and To to each other.
func tagged(uri, tag string) string {
	if tag == "" {
		return "<" + uri + ">"
	}
	return "<" + uri + ">;tag=" + tag
}

// wireRequest writes our phone's request for the tunnel: who speaks to whom is
// said with overlay names, and how it came here is not said at all.
func (c *call) wireRequest(p *parsed, fields, body []byte) []byte {
	to := overlayURI(c.peer)
	b := append([]byte(nil), p.method+" "+to+" SIP/2.0\r\n"...)
	b = appendField(b, "Max-Forwards", itoa(max(p.hops()-1, 0)))
	b = appendField(b, "From", tagged(overlayURI(c.own), p.fromTag))
	b = appendField(b, "To", tagged(to, p.toTag))
	b = appendField(b, "Call-ID", c.wireID)
	b = appendField(b, "CSeq", strconv.FormatUint(uint64(p.cseq), 10)+" "+p.method)
	return appendBody(append(b, fields...), body)
}

// reply answers a request of the tunnel.
func (c *call) reply(w wireTx, a answer) {
	if w.number == 0 || c.over {
		return
	}
	if a.toTag == "" && a.status > 100 {
		a.toTag = w.toTag
	}
	b := message.AppendStatus(nil, a.status, message.Clean(a.reason, 128))
	b = appendField(b, "From", tagged(overlayURI(c.peer), w.fromTag))
	b = appendField(b, "To", tagged(overlayURI(c.own), a.toTag))
	b = appendField(b, "Call-ID", c.wireID)
	b = appendField(b, "CSeq", strconv.FormatUint(uint64(w.cseq), 10)+" "+w.method)
	b = append(b, a.fields...)
	if v := c.e.warning(a.warning); v != "" {
		b = appendField(b, "Warning", v)
	}
	w.via.send(frame{kindResponse, w.number, appendBody(b, a.body)})
}

// refuse answers a request of the tunnel that no phone answers.
func (c *call) refuse(w wireTx, a answer) {
	if w.toTag == "" {
		a.toTag = c.id
	}
	c.reply(w, a)
}

// passResponse sends our phone's answer on; from is that phone, at the callee's
// side.
func (c *call) passResponse(w wireTx, p *parsed, from *fork) {
	if w.number == 0 {
		return // to a request of ours
	}
	a := answer{status: p.Status, reason: p.reason(), toTag: p.toTag}
	if w.toTag != "" {
		a.toTag = w.toTag
	}
	var fields []byte
	switch {
	case p.Status >= 300 && p.Status < 400:
		if fields = c.contactsOut(p); fields == nil {
			c.refused(RefusedTarget)
			a.status, a.reason, a.warning = 480, "Temporarily Unavailable", "the phone forwards its calls to somewhere outside"
		}
	case p.Status == 401 || p.Status == 407:
		// The other phone could only fail to answer the challenge.
		a.status, a.reason, a.warning = 403, "Forbidden", "the phone demands a password of its own"
	}
	body, _ := w.via.sdpOut(p, from) // nil if there is something wrong with it that does not matter
	a.body, a.fields = body, append(fields, c.appendCrossing(nil, p, len(body) > 0, true)...)
	c.reply(w, a)
}

// contactsOut names the people that a phone forwards its calls to (RFC 3261
// §21.3), as far as they are of this overlay; nil if none is.
func (c *call) contactsOut(p *parsed) (fields []byte) {
	contacts, err := p.Contacts()
	if err != nil {
		return nil
	}
	for _, a := range contacts.List {
		if who, _, ok := inOverlay(a.URI, c.phoneFlow(), c.own.Overlay(), c.e.cfg.Name); ok && who != c.own {
			fields = appendField(fields, "Contact", "<"+overlayURI(who)+">")
		}
	}
	return fields
}

// contactsIn turns these into addresses that our phone can call.
func (c *call) contactsIn(p *parsed, f Flow) (fields []byte) {
	contacts, err := p.Contacts()
	if err != nil {
		return nil
	}
	for _, a := range contacts.List {
		if who, _, ok := inOverlay(a.URI, Flow{}, c.own.Overlay(), nil); ok && who != c.peer {
			fields = appendField(fields, "Contact", "<"+hereURI(who, f)+">")
		}
	}
	return fields
}

// phoneFlow is any flow to a phone of ours: all have the adapter's address.
func (c *call) phoneFlow() Flow {
	if c.initial != nil {
		return c.initial.flow
	}
	if len(c.targets) > 0 {
		return c.targets[0].Flow
	}
	return Flow{}
}

// referTo rewrites the target of a transfer (RFC 3515 §2.1), which must be
// somebody of this overlay, by whatever address the phone calls that. out is
// the direction: to the tunnel, or from it to the phone on flow.
func (c *call) referTo(p *parsed, flow Flow, out bool) (fields []byte, ok bool) {
	if p.method != "REFER" {
		return nil, true
	}
	value := p.field("Refer-To")
	if value == "" {
		value = p.field("r")
	}
	a, err := message.ParseAddress([]byte(value))
	if err != nil {
		return nil, false
	}
	var named func(string) string
	if out {
		named = c.e.cfg.Name
	}
	who, u, ok := inOverlay(a.URI, flow, c.own.Overlay(), named)
	if !ok {
		return nil, false
	}
	to, by := overlayURI(who), overlayURI(c.own)
	if !out {
		to, by = hereURI(who, flow), partyURI(c.peer, flow)
	}
	fields = appendField(nil, "Refer-To", "<"+to+replacesOf(u.Headers, c.renameIn(out))+">")
	return appendField(fields, "Referred-By", "<"+by+">"), true
}

func notLoopback(a netip.Addr) netip.Addr {
	if a = a.Unmap(); a.IsLoopback() || a.IsUnspecified() {
		return netip.Addr{}
	}
	return a
}

// asRefusal turns the failure to open a tunnel into the phone's answer.
func asRefusal(err error) *Refusal {
	if r, ok := errors.AsType[*Refusal](err); ok && r.Code >= 300 && r.Code <= 699 {
		return r
	}
	return &Refusal{Code: 480, Reason: "Temporarily Unavailable", Warning: "the other side's adapter cannot be reached"}
}
