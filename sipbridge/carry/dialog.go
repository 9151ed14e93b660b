package carry

import (
	"net/netip"
	"strings"

	"github.com/secp2psip/secp2psip/sipbridge/message"
)

// dialog is what is known about our phone's end of a dialog (RFC 3261 §12).
type dialog struct {
	tag string // the callee's, which names the dialog within the call
	// confirmed by a 2xx; acked: the phone has the ACK for it, or has sent it.
	confirmed, acked bool
	inviteSeq        uint32 // CSeq of the INVITE
	fork             *fork  // whose phone it is, at the callee's side
	via              *branch

	// self and peer are From or To values without tag, as our phone knows
	// itself and the other one.
	self, peer string
	target     string // Request-URI towards our phone
	flow, alt  Flow
	routes     []string

	cseq    uint32 // the highest in a request to our phone
	said    uint32 // the highest in one of our phone's
	leaving bool   // a BYE is under way
	why     string // what the other side's BYE says of it
	change         // of the session
}

// ended: a final answer to a BYE in it ends the call.
func (d *dialog) ended() bool { return d != nil && d.confirmed }

// addDialog finds or makes the dialog of that callee's tag; nil when there are
// too many, or where it is another branch's.
func (b *branch) addDialog(tag string) *dialog {
	c := b.c
	if d := c.dialogs[tag]; d != nil && d.via == b {
		return d
	} else if d != nil {
		c.refused(RefusedOtherCall)
		return nil
	}
	if b.dialogCount >= maxDialogs {
		c.refused(RefusedTooMany)
		return nil
	}
	b.dialogCount++
	d := &dialog{tag: tag, via: b}
	c.dialogs[tag] = d
	k := dialogKey{c.callID, c.callerTag, tag}
	if c.incoming {
		k.fromTag, k.toTag = tag, c.callerTag
	}
	c.e.addDialog(k, c)
	return d
}

// confirmedDialog returns the dialog that was answered, nil before.
func (c *call) confirmedDialog() *dialog {
	for _, d := range c.dialogs {
		if d.confirmed {
			return d
		}
	}
	return nil
}

// head begins a request to our phone in that dialog.
func (c *call) head(d *dialog, cseq uint32) head {
	own, other := c.callerTag, d.tag
	if c.incoming {
		own, other = other, own
	}
	return head{uri: d.target, from: withTag(d.peer, other), to: withTag(d.self, own), cseq: cseq, routes: d.routes}
}

// refresh learns where the phone wants to be reached from its Contact
// (RFC 3261 §12.2.1.2) and from where it speaks. Over UDP a Contact on the
// host that the message came from is taken at its word, port included; any
// other address may be one that only the phone can reach.
func (d *dialog) refresh(from Flow, p *parsed) {
	d.flow, d.alt = from, from
	contacts, err := p.Contacts()
	if err != nil || len(contacts.List) == 0 {
		return
	}
	uri := contacts.List[0].URI
	u, err := message.ParseURI(uri)
	if err != nil || !u.IsSIP() || len(uri) > maxTarget || len(u.Headers) > 0 || strings.ContainsAny(string(uri), "\r\n") {
		return
	}
	d.target = string(uri)
	ip, ok := u.Addr()
	if !ok || ip != from.Remote.Addr().Unmap() {
		return
	}
	port := u.Port
	if port == 0 {
		port = 5060
	}
	d.alt.Remote = netip.AddrPortFrom(ip, port)
	if transport, _ := u.Param("transport"); from.Transport == "udp" && (len(transport) == 0 || strings.EqualFold(string(transport), "udp")) {
		d.flow = d.alt
	}
}

// recordRoutes keeps the route set of a phone that is behind a proxy of its
// own (RFC 3261 §12.1). asUAS: the phone sent the request.
func (d *dialog) recordRoutes(p *parsed, asUAS bool, ours string) {
	var routes []string
	for i := range p.Fields {
		f := &p.Fields[i]
		if !message.EqualFold(f.Name, "record-route") || len(routes) > 8 {
			continue
		}
		if v := string(f.Value); plain(v) && !strings.Contains(v, ours) {
			routes = append(routes, v)
		}
	}
	if !asUAS {
		for i, j := 0, len(routes)-1; i < j; i, j = i+1, j-1 {
			routes[i], routes[j] = routes[j], routes[i]
		}
	}
	d.routes = routes
}
