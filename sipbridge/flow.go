package sipbridge

import (
	"context"
	"net/netip"
	"strings"

	"github.com/secp2psip/secp2psip/sipbridge/carry"
	"github.com/secp2psip/secp2psip/sipbridge/message"
)

// Send writes a message to a phone for the engine; see carry.Sender.
func (b *Bridge) Send(ctx context.Context, to carry.Flow, msg []byte) error {
	if to.Transport == "tcp" {
		t := b.conns.get(to.Remote)
		if t == nil {
			var err error
			if t, err = b.dial(ctx, to); err != nil {
				return err
			}
		}
		return t.send(msg)
	}
	s := b.socketFor(to)
	if s == nil {
		return ErrNoWay
	}
	return s.send(msg, to.Remote)
}

// flowTo finds the way to a registered phone. TCP takes the connection that
// the phone opened, as long as it is there. Else the way is the contact, where
// that is the phone's own address, and for UDP where the REGISTER came from
// if it is not, which is what a phone behind a NAT needs. A contact somewhere
// else is not followed: a phone must not send us to third parties.
func (b *Bridge) flowTo(v *Binding) (carry.Flow, bool) {
	u, err := message.ParseURI([]byte(v.Contact))
	if err != nil {
		return carry.Flow{}, false
	}
	f := carry.Flow{Transport: transportOf(&u, v)}
	if f.Transport == "" {
		return f, false
	}
	if f.Transport == "tcp" && v.Transport == "tcp" {
		if c := b.conns.get(v.Source); c != nil {
			return c.flow, true
		}
	}
	if own := b.contactAddr(&u); own.IsValid() && b.isOwnContact(own.Addr(), v) {
		f.Remote = own
	} else if f.Transport == "udp" && v.Transport == "udp" {
		f.Remote = v.Source
	}
	if !f.Remote.IsValid() {
		return f, false
	}
	f.Local = b.localFor(f)
	return f, f.Local.IsValid()
}

// target is the Request-URI of requests to this phone: its contact without
// headers. A Request-URI has none (RFC 3261 §19.1.1), and a phone does not
// write into our header by naming some.
func (v *Binding) target() string {
	u, err := message.ParseURI([]byte(v.Contact))
	if err != nil {
		return v.Contact
	}
	return strings.TrimSuffix(v.Contact, string(u.Headers))
}

// transportOf returns what a contact asks for, "" if we do not speak it.
func transportOf(u *message.URI, v *Binding) string {
	t, ok := u.Param("transport")
	switch {
	case !ok:
		return v.Transport
	case message.EqualFold(t, "udp"):
		return "udp"
	case message.EqualFold(t, "tcp"):
		return "tcp"
	}
	return ""
}

// isOwnContact tells whether a contact's address is the phone's own: the one
// it registers from, or, for a phone on this host, any address of this host.
func (b *Bridge) isOwnContact(a netip.Addr, v *Binding) bool {
	return a == v.Source.Addr() || b.hosts.isOwnIP(a) && b.hosts.isOwnIP(v.Source.Addr())
}

// contactAddr returns the address in a contact, invalid if its host is a name.
func (b *Bridge) contactAddr(u *message.URI) netip.AddrPort {
	port := u.Port
	if port == 0 {
		port = 5060
	}
	if a, ok := u.Addr(); ok {
		return netip.AddrPortFrom(a, port)
	}
	if message.EqualFold(u.Host, "localhost") {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)
	}
	return netip.AddrPort{}
}

// localFor returns the address of ours that a phone sees.
func (b *Bridge) localFor(f carry.Flow) netip.AddrPort {
	var a netip.AddrPort
	if f.Transport == "udp" {
		if s := b.socketFor(f); s != nil {
			a = s.local
		}
	} else {
		best := 0
		for _, l := range b.tcp {
			if rank := suits(l.local, f.Remote); rank > best {
				a, best = l.local, rank
			}
		}
	}
	if a.IsValid() && a.Addr().IsUnspecified() {
		a = netip.AddrPortFrom(b.hosts.wayTo(f.Remote.Addr()), a.Port())
	}
	return a
}
