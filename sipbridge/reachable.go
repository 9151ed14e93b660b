package sipbridge

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/sipbridge/message"
)

// candidate says how others would reach a phone directly, or why they cannot.
type candidate struct {
	uri   string // with the host that they reach
	key   probeKey
	moved bool // the phone itself gave a loopback address
	why   string
}

// verdict says why a candidate cannot be reached, given what its OPTIONS
// found; "" if it can. A phone that registers a loopback contact may listen on
// all addresses and still give 127.0.0.1 for its sound, as Linphone does: it
// must say otherwise.
func (c candidate) verdict(found reach) string {
	switch {
	case found == silent:
		return "the phone does not answer at " + c.key.addr.String()
	case found == refusing:
		return "the phone does not listen at " + c.key.addr.String() + "; it may be bound to 127.0.0.1"
	case found == inward && !c.key.addr.Addr().IsLoopback(), found == present && c.moved:
		return "the phone would have others send their sound to 127.0.0.1"
	}
	return ""
}

// direct works out a phone's contact for somebody who is at remote and reaches
// us at local: a loopback contact is replaced by our own address, except for
// a caller on this very host.
func (b *Bridge) direct(v *Binding, local, remote netip.Addr) candidate {
	u, err := message.ParseURI([]byte(v.Contact))
	if err != nil {
		return candidate{why: "the phone's contact cannot be read"}
	}
	addr, transport, moved := b.contactAddr(&u), transportOf(&u, v), false
	switch {
	case transport == "":
		return candidate{why: "the phone wants a transport that is not spoken here"}
	case !addr.IsValid():
		return candidate{why: "the phone's contact has a host name instead of an address"}
	case !b.isOwnContact(addr.Addr(), v):
		return candidate{why: "the phone's contact is not the address it registered from"}
	case addr.Addr().IsLoopback() && !b.hosts.isOwnIP(remote):
		if !local.IsValid() || local.IsLoopback() || local.IsUnspecified() {
			return candidate{why: "the phone is on a loopback address, and this host has no other towards the caller"}
		}
		addr, moved = netip.AddrPortFrom(local.Unmap(), addr.Port()), true
	}
	return candidate{uri: withHost(&u, addr), key: probeKey{transport, addr}, moved: moved}
}

// withHost writes a URI with another host and port.
func withHost(u *message.URI, a netip.AddrPort) string {
	s := "sip:"
	if len(u.User) > 0 {
		s += string(u.User) + "@"
	}
	host := a.String()
	if u.Port == 0 {
		if host = a.Addr().String(); a.Addr().Is6() {
			host = "[" + host + "]"
		}
	}
	return s + host + string(u.Params)
}

// there tells whether a phone can be rung: false only if its host says that
// nothing listens where it should.
func (b *Bridge) there(ctx context.Context, v *Binding, age, wait time.Duration) bool {
	f, ok := b.flowTo(v)
	if !ok {
		return false
	}
	if f.Transport == "tcp" && b.conns.get(f.Remote) != nil {
		return true
	}
	return b.probes.ask(ctx, probeKey{f.Transport, f.Remote}, v.target(), age, wait) != refusing
}

// inspect finds out for the status whether others reach a phone directly.
func (b *Bridge) inspect(ctx context.Context, aor identity.AOR, v *Binding) {
	c := b.direct(v, b.lanIP(v.Source.Addr()), netip.Addr{})
	if c.why == "" {
		c.why = c.verdict(b.probes.ask(ctx, c.key, c.uri, probeFresh, b.cfg.ProbeTimeout))
	}
	if c.why != "" {
		c.uri = ""
	}
	b.registrar.note(aor, v.Contact, c.uri, c.why)
	b.there(ctx, v, probeFresh, b.cfg.ProbeTimeout)
}

// lanIP picks the address of this host that others most likely use.
func (b *Bridge) lanIP(source netip.Addr) netip.Addr {
	var best netip.Addr
	for _, a := range b.cfg.HostIPs() {
		if a.IsLoopback() || a.IsLinkLocalUnicast() || !a.IsValid() {
			continue
		}
		if !best.IsValid() || a.Is4() && !best.Is4() && source.Is4() {
			best = a
		}
	}
	return best
}

// probeSoon looks at phones in the background: at all of them, or only at
// those of which nothing is known.
func (b *Bridge) probeSoon(aor identity.AOR, list []Binding, all bool) {
	b.background(func() {
		ctx, cancel := context.WithTimeout(b.ctx, 4*b.cfg.ProbeTimeout)
		defer cancel()
		var wg sync.WaitGroup
		for i := range list {
			if v := &list[i]; all || v.Direct == "" && v.DirectWhy == "" {
				wg.Go(func() { b.inspect(ctx, aor, v) })
			}
		}
		wg.Wait()
	})
}

// probeDue looks at all phones when it is time.
func (b *Bridge) probeDue() {
	now := time.Now()
	if now.Before(b.probes.next) {
		return
	}
	b.probes.next = now.Add(probeEvery)
	for _, r := range b.registrar.all() {
		if len(r.Bindings) > 0 {
			b.probeSoon(r.AOR, r.Bindings, true)
		}
	}
}
