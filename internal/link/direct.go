package link

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/pion/stun/v3"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// How a way to another node is opened through address translators: both sides
// send STUN binding requests from their ports to each other's addresses until
// one is answered. They are so small that nobody can be hurt with them, and
// nothing larger goes to an address before it has answered.
const (
	KnockBytes = 20 // of a binding request
	knockEvery = 100 * time.Millisecond
)

// Knock sends binding requests (RFC 8489) to the addresses, to each in turn at
// most times, and returns the first that answers. Each request opens the way
// through this side's translator for what comes from there. Errors: ErrTimeout
// when nobody has answered, ErrClosed or ctx's.
func (l *Link) Knock(ctx context.Context, addrs []netip.AddrPort, times int) (netip.AddrPort, error) {
	if err := l.await(ctx); err != nil {
		return netip.AddrPort{}, err
	}
	answered := make(chan netip.AddrPort, len(addrs))
	requests := make([][]byte, 0, len(addrs))
	for _, a := range addrs {
		m, err := stun.Build(stun.TransactionID, stun.BindingRequest)
		if err != nil {
			return netip.AddrPort{}, fmt.Errorf("link: STUN: %w", err)
		}
		if err := l.stun.expect(m.TransactionID, a, func(netip.AddrPort) { answered <- a }); err != nil {
			return netip.AddrPort{}, err
		}
		defer l.stun.forget(m.TransactionID)
		requests = append(requests, m.Raw)
	}
	tick := time.NewTicker(knockEvery)
	defer tick.Stop()
	for n := 0; ; n++ {
		for i, a := range addrs {
			if n < times {
				_, _ = l.tr.WriteTo(requests[i], net.UDPAddrFromAddrPort(a)) // one that cannot be reached is as good as silent
			}
		}
		if n >= times+knockPatience {
			return netip.AddrPort{}, fmt.Errorf("%w: nobody answers at %v", ErrTimeout, addrs)
		}
		select {
		case a := <-answered:
			return a, nil
		case <-tick.C:
		case <-l.done:
			return netip.AddrPort{}, ErrClosed
		case <-ctx.Done():
			return netip.AddrPort{}, ctx.Err()
		}
	}
}

// knockPatience is how many rounds the last answer may take.
const knockPatience = 5

// ConnectDirect is Connect for a connection whose packets nobody passes on,
// also where there is one already through a peer. Errors as Connect's.
func (l *Link) ConnectDirect(ctx context.Context, to wire.Peer) (*Conn, error) {
	if to.ID == l.self {
		return nil, ErrSelf
	}
	if c := l.pool.direct(to.ID); c != nil {
		return c, nil
	}
	return l.share(ctx, flightKey{id: to.ID, direct: true}, func() []way { return l.directWays(to.Addrs, l.exactly(to.ID)) })
}

// exactly accepts the certificate of one node.
func (l *Link) exactly(id identity.NodeID) func(*identity.NodeCertificate) error {
	return func(got *identity.NodeCertificate) error {
		if got.ID != id {
			return fmt.Errorf("%w: %s instead of %s", ErrWrongNode, got.ID, id)
		}
		return nil
	}
}

// Direct returns the connection to a node whose packets nobody passes on, nil
// where there is none.
func (l *Link) Direct(id identity.NodeID) *Conn { return l.pool.direct(id) }

// Replace leaves a connection on which nothing comes any more, or whose peer is
// in doubt, and returns another one to the same node. The peer that passed its packets on is tried
// last. Errors as Connect's.
func (l *Link) Replace(ctx context.Context, old *Conn, to wire.Peer, via []wire.Peer) (*Conn, error) {
	l.pool.remove(old)
	if old.relayed {
		l.vias.leave(to.ID, old.via)
		if old.Doubt() == "" {
			l.cfg.Refused(ReasonRelaySilent)
		}
	}
	old.close(CloseDropped, "another connection takes its place")
	c, _, err := l.connectVia(ctx, to, via)
	return c, err
}

// ThroughPeers returns the connections whose packets peers pass on.
func (l *Link) ThroughPeers() (out []*Conn) {
	for _, c := range l.pool.all() {
		if c.relayed && c.alive() {
			out = append(out, c)
		}
	}
	return out
}
