package sipbridge

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/sipbridge/message"
)

// register handles a REGISTER (RFC 3261 §10.3).
func (w *worker) register(from *origin) {
	x := w.b.exchanges
	key := x.key(w, from.flow.Remote, w.msg.Method)
	if v, p := x.lookup(w, key, w.b.now()); v != isNew {
		w.known(from, v, p)
		return
	}
	aor, ok := w.registrant(from)
	if !ok {
		return
	}
	u, err := w.update(aor, from)
	if err != nil {
		w.fault(message.Refuse(err), from)
		return
	}
	if !w.own(u, from) {
		return
	}
	p := w.enter(from, key)
	if p == nil {
		w.b.owners.settle(u.claim, 0)
		return
	}
	if live, ok := w.b.registrar.refresh(u); ok {
		w.b.owners.settle(u.claim, len(live))
		w.b.finish(p, &Refusal{Code: 200, Reason: "OK"}, w.b.bindingFields(live))
		if len(live) > 0 && len(u.contacts) > 0 {
			w.b.cfg.Refreshed(Registration{aor, live})
			w.b.probeSoon(aor, live, false)
		}
		return
	}
	if !w.b.background(func() { w.b.enrol(p, u) }) {
		w.b.owners.settle(u.claim, 0)
		w.b.refused(RefusedOverload)
		w.b.finish(p, Overloaded("too many registrations are in progress", 2*time.Second), nil)
	}
}

// own notes whose name it is, where the phone is on this host, and that its
// connection may stay. If the name is somebody else's, it has answered.
func (w *worker) own(u *update, from *origin) bool {
	if !w.b.hosts.isHere(from.flow) || !u.star && len(u.contacts) == 0 {
		return true
	}
	c, r := w.b.owners.claim(u.aor, from.flow, w.proved)
	if r != nil {
		w.b.refused(RefusedOwner)
		w.refuse(from, r)
		return false
	}
	u.claim = c
	if from.conn != nil {
		from.conn.kept.Store(true)
	}
	owner := w.b.owners.name(u.aor)
	for i := range u.contacts {
		u.contacts[i].Owner = owner
	}
	return true
}

// registrant finds out whose phone registers: the user part of To. From may
// differ, but nothing depends on it.
func (w *worker) registrant(from *origin) (identity.AOR, bool) {
	u := &w.req.ToURI
	if !w.b.hosts.isUs(&w.req.URI) || !u.IsSIP() || !w.b.hosts.meansUs(u) {
		w.b.refused(RefusedForeignHost)
		w.refuse(from, NoSuchName("this adapter registers names of "+w.b.cfg.Overlay+" only; set the phone's domain to that or to this adapter's address"))
		return identity.AOR{}, false
	}
	if len(u.User) == 0 {
		w.b.refused(RefusedMalformed)
		w.refuse(from, AddressIncomplete("the REGISTER names nobody"))
		return identity.AOR{}, false
	}
	return w.account(from, u.Name())
}

// update reads what a REGISTER wants.
func (w *worker) update(aor identity.AOR, from *origin) (*update, error) {
	contacts, err := w.msg.Contacts()
	if err != nil {
		return nil, err
	}
	u := &update{aor: aor, star: contacts.Star, callID: clip(w.msg.Get(message.CallID), 256), cseq: w.req.CSeq}
	header := w.msg.Get(message.Expires)
	if u.star && string(header) != "0" {
		return nil, fmt.Errorf("%w: Contact: * needs Expires: 0", message.ErrMalformed)
	}
	now := w.b.cfg.Now()
	for i := range contacts.List {
		c := &contacts.List[i]
		uri, _ := message.ParseURI(c.URI) // Contacts has parsed it
		if !uri.IsSIP() || len(c.URI) > 512 || len(c.Params) > 512 {
			return nil, fmt.Errorf("%w: a contact is no sip: URI, or too long", message.ErrMalformed)
		}
		if slices.Contains(u.canonical, uri.Canonical()) {
			continue
		}
		u.canonical = append(u.canonical, uri.Canonical())
		u.contacts = append(u.contacts, w.binding(c, header, from, now))
	}
	return u, nil
}

// binding makes one contact a binding.
func (w *worker) binding(c *message.Address, expires []byte, from *origin, now time.Time) Binding {
	b := Binding{
		Contact: string(c.URI), Source: from.flow.Remote, Transport: from.flow.Transport,
		UserAgent: clip(w.msg.Get(message.UserAgent), 100), CallID: clip(w.msg.Get(message.CallID), 256),
		CSeq: w.req.CSeq, Q: 1000,
	}
	b.Params = keepParams(c)
	if v, ok := c.Param("+sip.instance"); ok {
		b.Instance = string(v)
	}
	if v, ok := c.Param("q"); ok {
		b.Q = preference(string(v))
	}
	if v, ok := c.Param("expires"); ok {
		expires = v
	}
	if life := w.b.lifetime(string(expires)); life > 0 {
		b.Expires = now.Add(life)
	}
	return b
}

// lifetime reads an expires value. What is no number counts as if it were not
// there (RFC 3261 §20.19); short and long ones are clamped, since some phones
// cannot cope with a 423.
func (b *Bridge) lifetime(s string) time.Duration {
	n, err := strconv.ParseUint(s, 10, 32)
	switch {
	case err != nil:
		return b.cfg.MaxExpires
	case n == 0:
		return 0
	}
	return min(max(time.Duration(n)*time.Second, b.cfg.MinExpires), b.cfg.MaxExpires)
}

// preference reads a q value in thousandths.
func preference(s string) int {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || !(f >= 0 && f <= 1) {
		return 1000
	}
	return int(f*1000 + 0.5)
}

// keepParams returns the contact's parameters that responses repeat.
func keepParams(c *message.Address) string {
	if v, ok := c.Param("+sip.instance"); ok {
		return ";+sip.instance=" + string(v)
	}
	return ""
}

// enrol changes an account's bindings and answers when that is published. If
// it cannot be, nothing has changed.
func (b *Bridge) enrol(p *pending, u *update) {
	a, r := b.registrar.take(p.ctx, u.aor)
	if r != nil {
		b.owners.settle(u.claim, 0)
		b.refused(RefusedOverload)
		b.finish(p, r, nil)
		return
	}
	defer b.registrar.release(a)
	before := b.registrar.current(a)
	next, r := u.apply(before, b.cfg.Now())
	if r != nil {
		b.owners.settle(u.claim, 0)
		if r.Code == 500 {
			b.refused(RefusedOrder)
		} else {
			b.refused(RefusedBindings)
		}
		b.finish(p, r, nil)
		return
	}
	b.registrar.set(a, next)
	if visible(before, next) {
		if err := b.cfg.Directory.Register(p.ctx, Registration{u.aor, slices.Clone(next)}); err != nil {
			b.registrar.set(a, before)
			b.owners.settle(u.claim, 0)
			b.fail(p, err)
			return
		}
	} else if len(u.contacts) > 0 {
		b.cfg.Refreshed(Registration{u.aor, slices.Clone(next)})
	}
	b.owners.settle(u.claim, len(next))
	b.finish(p, &Refusal{Code: 200, Reason: "OK"}, b.bindingFields(next))
	b.probeSoon(u.aor, next, true)
}

// bindingFields are the Contact and Date fields of a 200 to REGISTER.
func (b *Bridge) bindingFields(live []Binding) []byte {
	now := b.cfg.Now()
	var out []byte
	for _, v := range live {
		left := int64(v.Expires.Sub(now)+time.Second-1) / int64(time.Second)
		if left <= 0 {
			continue
		}
		out = append(append(out, "Contact: <"...), v.Contact...)
		out = append(append(out, ">;expires="...), strconv.FormatInt(left, 10)...)
		if v.Q < 1000 {
			out = append(out, fmt.Sprintf(";q=0.%03d", v.Q)...)
		}
		out = append(append(out, v.Params...), "\r\n"...)
	}
	out = append(out, "Date: "...)
	out = now.UTC().AppendFormat(out, http.TimeFormat)
	return append(out, "\r\n"...)
}

// dropExpired takes expired bindings away and publishes what is left.
func (b *Bridge) dropExpired() {
	for _, aor := range b.registrar.overdue() {
		b.background(func() {
			ctx, cancel := context.WithTimeout(b.ctx, b.cfg.CallTimeout)
			defer cancel()
			a, r := b.registrar.take(ctx, aor)
			if r != nil {
				return
			}
			defer b.registrar.release(a)
			before := b.registrar.current(a)
			next, _ := (&update{aor: aor}).apply(before, b.cfg.Now())
			if !visible(before, next) {
				return
			}
			b.registrar.set(a, next)
			if err := b.cfg.Directory.Register(ctx, Registration{aor, slices.Clone(next)}); err != nil {
				b.log.Warn().Err(err).Msg("an expired registration could not be withdrawn")
			}
		})
	}
}

// keepHouse forgets what is over.
func (b *Bridge) keepHouse() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-b.ctx.Done():
			return
		case <-tick.C:
		}
		now := b.now()
		b.exchanges.expire(now)
		b.targets.expire(now)
		b.digest.expire()
		b.dropExpired()
		b.probeDue()
	}
}
