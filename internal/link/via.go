package link

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/qlogwriter"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// The times of a connection whose packets a peer passes on. They are short: that
// the peer is gone, or drops what it should pass on, shows in no other way.
const (
	relayKeepAlive = 4 * time.Second
	relayIdle      = 12 * time.Second
	relayPatience  = 2 * time.Second // for an answer, before the connection counts as dead
)

// maxWays bounds the ways that are remembered.
const maxWays = 1024

// vias are the peers from which this node takes sealed packets: those that it
// is attached to, and those through which it has called.
type vias struct {
	mu       sync.Mutex
	attached map[identity.NodeID]bool
	called   map[identity.NodeID]bool
	ways     map[identity.NodeID]identity.NodeID // through which peer a node was reached last
	left     map[identity.NodeID]identity.NodeID // through which one it was lost last
	doubted  map[identity.NodeID]time.Time       // peers that lied, until when
}

func newVias() *vias {
	return &vias{
		attached: make(map[identity.NodeID]bool), called: make(map[identity.NodeID]bool),
		ways: make(map[identity.NodeID]identity.NodeID), left: make(map[identity.NodeID]identity.NodeID), doubted: make(map[identity.NodeID]time.Time),
	}
}

// leave notes that nothing came from a node through a peer any more.
func (v *vias) leave(to, peer identity.NodeID) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.ways[to] == peer {
		delete(v.ways, to)
	}
	if len(v.left) >= maxWays {
		clear(v.left)
	}
	v.left[to] = peer
}

// distrustTime is how long a peer that did not pass packets on as it got them is
// tried after all others.
const distrustTime = 10 * time.Minute

func (v *vias) distrust(peer identity.NodeID) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.doubted) >= maxWays {
		clear(v.doubted)
	}
	v.doubted[peer] = time.Now().Add(distrustTime)
}

func (v *vias) distrusted(peer identity.NodeID) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return time.Now().Before(v.doubted[peer])
}

// lost returns the peer through which a node was lost last.
func (v *vias) lost(to identity.NodeID) identity.NodeID {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.left[to]
}

func (v *vias) has(peer identity.NodeID) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.called[peer] || v.attached[peer]
}

func (v *vias) call(peer identity.NodeID) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.called) >= maxWays {
		clear(v.called)
	}
	v.called[peer] = true
}

// way returns through which peer a node was reached last, the zero ID for none.
func (v *vias) way(to identity.NodeID) identity.NodeID {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.ways[to]
}

func (v *vias) remember(to, peer identity.NodeID) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if peer == (identity.NodeID{}) {
		delete(v.ways, to)
		return
	}
	if len(v.ways) >= maxWays {
		clear(v.ways)
	}
	v.ways[to] = peer
}

// AttachedTo says from which peers this node takes sealed packets of strangers.
func (l *Link) AttachedTo(peers []identity.NodeID) {
	l.vias.mu.Lock()
	defer l.vias.mu.Unlock()
	clear(l.vias.attached)
	for _, p := range peers {
		l.vias.attached[p] = true
	}
}

// ConnectVia is Connect for a node that may be a client: besides its own
// addresses it is tried through the peers that it is attached to, which pass
// the packets of the connection on and cannot read them. Errors as Connect's.
func (l *Link) ConnectVia(ctx context.Context, to wire.Peer, via []wire.Peer) (*Conn, error) {
	c, _, err := l.connectVia(ctx, to, via)
	return c, err
}

// way is one way to a node.
type way struct {
	name string
	dial func(ctx context.Context) (*quic.Conn, error)
}

// directWays are the ways to addresses.
func (l *Link) directWays(addrs []netip.AddrPort, accept func(*identity.NodeCertificate) error) []way {
	tlsConf, conf := l.clientTLS(alpnRing, accept), l.quicConfig()
	return waysOf(addrs, func(ctx context.Context, a netip.AddrPort) (*quic.Conn, error) {
		return l.tr.Dial(ctx, net.UDPAddrFromAddrPort(a), tlsConf, conf)
	})
}

func waysOf(addrs []netip.AddrPort, dial func(context.Context, netip.AddrPort) (*quic.Conn, error)) []way {
	ways := make([]way, len(addrs))
	for i, a := range addrs {
		ways[i] = way{a.String(), func(ctx context.Context) (*quic.Conn, error) { return dial(ctx, a) }}
	}
	return ways
}

// waysTo mixes the ways to a node: directly first, then a peer, and so on; the
// peer through which it was reached last goes before all.
func (l *Link) waysTo(to wire.Peer, via []wire.Peer, accept func(*identity.NodeCertificate) error) []way {
	direct := l.directWays(to.Addrs, accept)
	last, lost := l.vias.way(to.ID), l.vias.lost(to.ID)
	var ways, relayed, worst []way
	for _, p := range via {
		if p.ID == l.self || p.ID == to.ID {
			continue
		}
		w := way{"via " + p.ID.Short(), func(ctx context.Context) (*quic.Conn, error) { return l.dialVia(ctx, to.ID, p, accept) }}
		switch {
		case p.ID == lost:
			worst = append(worst, w)
		case l.vias.distrusted(p.ID):
			worst = slices.Insert(worst, 0, w)
		case p.ID == last:
			ways = append(ways, w)
		default:
			relayed = append(relayed, w)
		}
	}
	relayed = append(relayed, worst...)
	for len(direct)+len(relayed) > 0 {
		if len(direct) > 0 {
			ways, direct = append(ways, direct[0]), direct[1:]
		}
		if len(relayed) > 0 {
			ways, relayed = append(ways, relayed[0]), relayed[1:]
		}
	}
	return ways
}

// dialVia connects to a node through a peer.
func (l *Link) dialVia(ctx context.Context, to identity.NodeID, peer wire.Peer, accept func(*identity.NodeCertificate) error) (*quic.Conn, error) {
	via, err := l.Connect(ctx, peer)
	if err != nil {
		return nil, err
	}
	if most := via.MaxDatagram(); most < sealedHead+sealedPacket {
		l.cfg.Refused(ReasonSealedNarrow)
		return nil, fmt.Errorf("%w: the path to the peer %s takes datagrams of %d bytes only", ErrUnreachable, peer.ID.Short(), most)
	}
	l.vias.call(peer.ID)
	return l.relayTr.Dial(ctx, relayAddr{node: to, via: peer.ID}, l.clientTLS(alpnRing, accept), l.relayConfig())
}

// relayConfig is quicConfig for packets that travel inside datagrams.
func (l *Link) relayConfig() *quic.Config {
	c := l.quicConfig()
	c.InitialPacketSize = sealedPacket
	c.DisablePathMTUDiscovery = true
	c.KeepAlivePeriod = min(relayKeepAlive, l.cfg.Limits.KeepAlive)
	c.MaxIdleTimeout = min(relayIdle, l.cfg.Limits.Idle)
	if !l.blind {
		c.Tracer = func(context.Context, bool, quic.ConnectionID) qlogwriter.Trace { return newWatch() }
	}
	return c
}

// startRelay makes this node an end of connections through peers.
func (l *Link) startRelay() (*quic.Listener, error) {
	l.relayTr = &quic.Transport{Conn: l.relay, ConnectionIDLength: 8, ConnContext: l.gate.admit, Tracer: dropCounter{l.cfg.Refused}}
	listener, err := l.relayTr.Listen(l.serverTLS(), l.relayConfig())
	if err != nil {
		return nil, fmt.Errorf("link: sealed packets: %w", err)
	}
	l.HandleDatagrams(DatagramSealed, l.sealed)
	return listener, nil
}
