package link

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/secp2psip/secp2psip/internal/socket"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// migrateTime bounds the proof that a connection's other side answers at the
// host's new address.
const migrateTime = 2 * time.Second

// steady is a UDP socket on which sending does not fail only because the host
// is between two networks: quic-go would end the connection. Such a packet is
// lost, as on any path.
type steady struct{ *socket.Conn }

// WriteTo implements net.PacketConn.
func (s steady) WriteTo(b []byte, to net.Addr) (int, error) {
	n, err := s.Conn.WriteTo(b, to)
	if err != nil && offline(err) {
		return len(b), nil
	}
	return n, err
}

// WriteMsgUDP implements quic.OOBCapablePacketConn.
func (s steady) WriteMsgUDP(b, oob []byte, to *net.UDPAddr) (n, oobn int, err error) {
	n, oobn, err = s.Conn.WriteMsgUDP(b, oob, to)
	if err != nil && offline(err) {
		return len(b), len(oob), nil
	}
	return n, oobn, err
}

// offline tells whether a packet could not leave because this host has no way
// there now, or not from the address that it was to leave from. EINVAL is what
// Linux says of the latter.
func offline(err error) bool {
	for _, e := range []syscall.Errno{
		syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.ENETDOWN, syscall.EADDRNOTAVAIL, syscall.EINVAL, syscall.EPERM,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// Migrate is to be called when this host's addresses have changed; has tells
// which there are now. Connections that this node has dialled go on from the new
// address (RFC 9000 §9); where the other side does not answer there they are
// closed. Those that others have dialled to an address that is gone can send
// nothing any more and are closed: whoever needs one dials anew. It returns when
// all that has been tried.
func (l *Link) Migrate(ctx context.Context, has func(netip.Addr) bool) {
	done := make(chan struct{})
	flying := 0
	for _, c := range l.pool.all() {
		switch {
		case c.relayed:
		case c.inbound:
			if at := addrPort(c.qc.LocalAddr()).Addr(); at.IsValid() && !at.IsUnspecified() && !has(at) {
				c.close(CloseDropped, "the address is gone")
			}
		default:
			flying++
			if !l.spawn(func() { l.migrate(ctx, c); done <- struct{}{} }) {
				flying--
			}
		}
	}
	for ; flying > 0; flying-- {
		<-done
	}
}

// routeTime is how long a connection waits for a way to its other side after the
// host has got new addresses: routes come a little later than these.
const (
	routeTime = 500 * time.Millisecond
	routeLook = 50 * time.Millisecond
)

// routed waits until this host has a way to an address.
func routed(ctx context.Context, to netip.AddrPort) bool {
	ctx, cancel := context.WithTimeout(ctx, routeTime)
	defer cancel()
	tick := time.NewTicker(routeLook)
	defer tick.Stop()
	for {
		if _, err := sourceFor(to); err == nil || !offline(err) {
			return true
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
}

// migrate moves one connection. The port stays the same; the host chooses the
// new address by its routes. Where there are none, as when this host has lost a
// whole address family, the connection is closed: whoever needs it dials another
// address.
func (l *Link) migrate(ctx context.Context, c *Conn) {
	ctx, cancel := context.WithTimeout(ctx, migrateTime)
	defer cancel()
	if to := c.RemoteAddr(); l.routes && !routed(ctx, to) {
		c.close(CloseDropped, "no way there any more")
		return
	}
	if path, err := c.qc.AddPath(l.tr); err == nil {
		probe, done := context.WithTimeout(ctx, migrateTime/2)
		err = path.Probe(probe)
		done()
		if err == nil {
			err = path.Switch()
		}
		if err == nil {
			path = c.path.Swap(path)
		}
		// No answer says little: quic-go gives none where the other side sees no
		// other address than before.
		if path != nil {
			_ = path.Close() // gives its connection ID back
		}
	}
	c.source.Store(nil)
	// The other side follows when something comes from there that is no probe.
	if _, err := roundTrip(ctx, c.qc, &l.buffers, migrateTime, &wire.Ping{}); errors.Is(err, ErrTimeout) {
		c.close(CloseDropped, "no answer at this host's new address")
	}
}

// Pulse tells whether the other side is there: whether something came from it
// within that time, or else an answer to Ping comes within as long again.
func (c *Conn) Pulse(ctx context.Context, within time.Duration) bool {
	if ctx.Err() != nil || take(ctx, c.pulse) != nil {
		return true // nobody wants to know any more
	}
	defer func() { c.pulse <- struct{}{} }()
	if !c.alive() {
		return false
	}
	if time.Since(c.link.origin)-time.Duration(c.heard.Load()) < within {
		return true
	}
	limit, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	_, err := roundTrip(limit, c.qc, &c.link.buffers, within, &wire.Ping{})
	if _, refused := errors.AsType[*RemoteError](err); err != nil && !refused {
		return ctx.Err() != nil
	}
	c.hear()
	return true
}

func (c *Conn) hear() { c.heard.Store(int64(time.Since(c.link.origin))) }
