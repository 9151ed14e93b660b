package sipbridge

import (
	"context"
	"net/netip"

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
// the phone opened, as long as it is there. UDP goes to the contact where that
// is the phone's own address, else to where the REGISTER came from, which is
// what a phone behind a NAT needs.
func (b *Bridge) flowTo(v *Binding) (carry.Flow, bool) {
	u, err := message.ParseURI([]byte(v.Contact))
	if err != nil {
		return carry.Flow{}, false
	}
	f := carry.Flow{Transport: v.Transport, Remote: v.Source}
	if t, ok := u.Param("transport"); ok && (message.EqualFold(t, "udp") || message.EqualFold(t, "tcp")) {
		f.Transport = string(lower(t))
	}
	own := b.contactAddr(&u)
	if f.Transport == "tcp" {
		if v.Transport == "tcp" {
			if c := b.conns.get(v.Source); c != nil {
				return c.flow, true
			}
		}
		f.Remote = own
	} else if own.IsValid() && (own.Addr() == v.Source.Addr() || b.hosts.isOwnIP(own.Addr()) && b.hosts.isOwnIP(v.Source.Addr())) {
		f.Remote = own
	}
	if !f.Remote.IsValid() {
		return f, false
	}
	f.Local = b.localFor(f)
	return f, f.Local.IsValid()
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
		for _, l := range b.tcp {
			if l.local.Addr().Is4() == f.Remote.Addr().Is4() {
				a = l.local
				break
			}
		}
	}
	if a.IsValid() && a.Addr().IsUnspecified() {
		a = netip.AddrPortFrom(b.hosts.wayTo(f.Remote.Addr()), a.Port())
	}
	return a
}

func lower(b []byte) []byte {
	out := make([]byte, len(b))
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		out[i] = c
	}
	return out
}
