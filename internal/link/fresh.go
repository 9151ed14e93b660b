package link

import (
	"bytes"
	"context"
	"net/netip"
	"slices"

	"github.com/quic-go/quic-go"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// A connection rests on the two certificates that were shown when it was made.
// When one of them stops to count the connection is closed, even where both
// nodes have had others for long. So whoever has a new certificate makes its
// connections anew, each beside the old one, which stays for what is under way.

// Outdated returns the connections that new requests use and that were made with
// an earlier certificate of this node, or for whose other side's old returns
// true.
func (l *Link) Outdated(old func(id identity.NodeID, chain [][]byte) bool) (out []*Conn) {
	own := l.creds.Load()
	for _, c := range l.pool.current() {
		if !c.own.same(own) || old(c.ID(), c.chain) {
			out = append(out, c)
		}
	}
	return out
}

// Renew connects once more to the node at the other end of c, the way that c
// takes or directly to any of addrs. New requests then use the new connection;
// c stays until nothing has used it for a minute, and Successor tells who uses
// it where to go on. Errors as Connect's.
func (l *Link) Renew(ctx context.Context, c *Conn, addrs []netip.AddrPort) (*Conn, error) {
	accept := l.exactly(c.ID())
	ways := func() []way {
		if c.relayed {
			return []way{{"via " + c.via.Short(), func(ctx context.Context) (*quic.Conn, error) {
				return l.dialVia(ctx, c.ID(), wire.Peer{ID: c.via}, accept)
			}}}
		}
		at := c.RemoteAddr()
		rest := slices.DeleteFunc(slices.Clone(addrs), func(a netip.AddrPort) bool { return a == at })
		return l.directWays(append([]netip.AddrPort{at}, rest...), accept)
	}
	fresh, err := l.share(ctx, flightKey{id: c.ID(), direct: !c.relayed, fresh: true}, ways)
	if err != nil {
		return nil, err
	}
	c.next.Store(fresh)
	return fresh, nil
}

// Successor returns the live connection that has taken this one's place last, nil
// where none has: what lasts had better go on there.
func (c *Conn) Successor() (last *Conn) {
	for next := c.next.Load(); next != nil; next = next.next.Load() {
		if next.alive() {
			last = next
		}
	}
	return last
}

// same tells whether two show the same certificate.
func (c *credentials) same(o *credentials) bool {
	return c == o || bytes.Equal(c.ring.Certificate[0], o.ring.Certificate[0])
}
