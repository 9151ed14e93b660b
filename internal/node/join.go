package node

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"slices"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// How a node gets into the ring, and back into it after a restart: through
// the peers that an enrolment named, the members it knew last, and the
// bootstrap servers, all asked side by side. Where nobody answers for
// aloneAfter it makes a ring of its own, which merges with the others' when
// they meet: after a power cut nobody must be there first.
const (
	joinTimeout = 4 * time.Second        // for one attempt
	joinRetry   = 500 * time.Millisecond // between attempts, until joined
	aloneAfter  = 3 * time.Second
	maxKnown    = 64 // members kept for the next start
	saveEvery   = time.Minute
)

var (
	bucketNode = []byte("node")
	keyKnown   = []byte("known members") // JSON of []knownPeer
)

// knownPeer is a member as kept on disk.
type knownPeer struct {
	ID    identity.NodeID
	Owner identity.OwnerTag
	Addrs []netip.AddrPort
}

// Seed names bootstrap servers, host:port, to join through.
func (n *Node) Seed(servers []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.servers = slices.Clone(servers)
}

// SeedPeers names members to join through.
func (n *Node) SeedPeers(peers []wire.Peer) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.peers = slices.Clone(peers)
}

// stayJoined joins the ring and keeps the list of known members on disk.
func (n *Node) stayJoined(ctx context.Context) error {
	if !n.join(ctx) {
		return nil
	}
	n.settle(ctx)
	close(n.joined)
	n.cfg.Log.Info().Stringer("node", n.id).Int("members", n.Ring().Status().Members).Msg("joined the ring")
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		n.saveKnown()
		n.reunite(ctx)
		n.syncTime(ctx)
		if err := n.cfg.Clock.Save(); err != nil {
			n.cfg.Log.Warn().Err(err).Msg("the overlay's time cannot be saved")
		}
	}
}

// join tries until the node is a member or ctx ends.
func (n *Node) join(ctx context.Context) bool {
	ring := n.Ring()
	began := time.Now()
	for {
		seeds := n.contact(ctx)
		if len(seeds) > 0 {
			attempt, cancel := context.WithTimeout(ctx, joinTimeout)
			err := ring.Join(attempt, seeds)
			cancel()
			if err == nil {
				return true
			}
			n.cfg.Log.Debug().Err(err).Int("seeds", len(seeds)).Msg("not let in yet")
		}
		known := n.loadKnown()
		if n.cfg.Alone && len(known) == 0 || time.Since(began) > aloneAfter {
			ring.Create(known...)
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(joinRetry):
		}
	}
}

// settleTimeout bounds the wait for a place on the ring that has settled.
const settleTimeout = 3 * time.Second

// settle waits until the node may speak for its part of the circle: only then
// do look-ups through it and records at it make sense.
func (n *Node) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	for {
		changed := n.Ring().Changed()
		if n.Ring().View().Settled {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// reunite looks after a node that is alone although it has known others: it
// lets the ring hear of them again, whose probing then merges the rings.
func (n *Node) reunite(ctx context.Context) {
	if n.Ring().Status().Members > 1 {
		return
	}
	if peers := n.contact(ctx); len(peers) > 0 {
		n.Ring().Create(peers...)
	}
}

// contact connects to everybody we may join through, learns the time from
// those that answer and returns them.
func (n *Node) contact(ctx context.Context) []wire.Peer {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	n.mu.Lock()
	candidates := slices.Clone(n.peers)
	n.mu.Unlock()
	candidates = append(candidates, n.loadKnown()...)
	var dials []func() (*link.Conn, error)
	for _, p := range candidates {
		if p.ID != n.id {
			dials = append(dials, func() (*link.Conn, error) { return n.link.Connect(ctx, p) })
		}
	}
	for _, addr := range n.SeedAddrs(ctx) {
		dials = append(dials, func() (*link.Conn, error) { return n.link.ConnectAny(ctx, addr) })
	}
	return n.dialAll(ctx, cancel, dials)
}

// enoughSeeds answer: no need to wait for the dead ones.
const enoughSeeds = 3

// lateSeeds is how long contact waits for more when one has answered.
const lateSeeds = 150 * time.Millisecond

func (n *Node) dialAll(ctx context.Context, cancel context.CancelFunc, dials []func() (*link.Conn, error)) []wire.Peer {
	conns := make(chan *link.Conn, len(dials))
	for _, dial := range dials {
		go func() {
			c, err := dial()
			if err != nil {
				n.cfg.Log.Debug().Err(err).Msg("a seed does not answer")
			}
			conns <- c
		}()
	}
	var up []*link.Conn
	var late <-chan time.Time
	for range dials {
		select {
		case c := <-conns:
			if c == nil || slices.ContainsFunc(up, func(o *link.Conn) bool { return o.ID() == c.ID() }) {
				continue
			}
			if up = append(up, c); len(up) == 1 {
				late = time.After(lateSeeds)
			}
		case <-late:
			return n.greet(ctx, up)
		}
		if len(up) >= enoughSeeds {
			break
		}
	}
	return n.greet(ctx, up)
}

// greet learns the time from connected nodes and returns them as peers.
func (n *Node) greet(ctx context.Context, conns []*link.Conn) []wire.Peer {
	var samples []identity.TimeSample
	var peers []wire.Peer
	for _, c := range conns {
		peers = append(peers, wire.Peer{ID: c.ID(), Owner: c.Owner(), Addrs: []netip.AddrPort{c.RemoteAddr()}})
		sample, err := AskTime(ctx, c, n.cfg.Clock)
		if err != nil {
			continue
		}
		sample.Owner, sample.Issuer = c.Owner(), c.Bootstrap()
		samples = append(samples, sample)
	}
	n.learnTime(samples)
	return peers
}

// SeedAddrs returns the bootstrap servers' addresses, resolved by DNS where
// they are names; the last known ones where DNS fails.
func (n *Node) SeedAddrs(ctx context.Context) []netip.AddrPort {
	n.mu.Lock()
	servers := slices.Clone(n.servers)
	n.mu.Unlock()
	var addrs []netip.AddrPort
	for _, s := range servers {
		if a, err := netip.ParseAddrPort(s); err == nil {
			addrs = append(addrs, a)
			continue
		}
		host, port, err := net.SplitHostPort(s)
		if err != nil {
			continue
		}
		number, err := net.DefaultResolver.LookupPort(ctx, "udp", port)
		if err != nil {
			continue
		}
		ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		if err != nil {
			continue
		}
		for _, ip := range ips {
			addrs = append(addrs, netip.AddrPortFrom(ip.Unmap(), uint16(number)))
		}
	}
	return addrs
}

// saveKnown keeps some live members for the next start.
func (n *Node) saveKnown() {
	ring := n.Ring()
	if ring == nil || n.cfg.DB == nil {
		return
	}
	var known []knownPeer
	for _, p := range ring.Known() {
		if p.ID != n.id && len(known) < maxKnown {
			known = append(known, knownPeer{p.ID, p.Owner, p.Addrs})
		}
	}
	if len(known) == 0 {
		return // rather the old ones than none
	}
	data, err := json.Marshal(known)
	if err == nil {
		err = n.cfg.DB.Update(func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists(bucketNode)
			if err != nil {
				return err
			}
			return b.Put(keyKnown, data)
		})
	}
	if err != nil && !errors.Is(err, bbolterrors.ErrDatabaseNotOpen) {
		n.cfg.Log.Warn().Err(err).Msg("the known members cannot be saved")
	}
}

// loadKnown returns the members that were live when this node last looked.
func (n *Node) loadKnown() []wire.Peer {
	if n.cfg.DB == nil {
		return nil
	}
	var known []knownPeer
	err := n.cfg.DB.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketNode)
		if b == nil || b.Get(keyKnown) == nil {
			return nil
		}
		return json.Unmarshal(b.Get(keyKnown), &known)
	})
	if err != nil {
		n.cfg.Log.Warn().Err(err).Msg("the known members cannot be read")
	}
	peers := make([]wire.Peer, 0, len(known))
	for _, p := range known {
		peers = append(peers, wire.Peer{ID: p.ID, Owner: p.Owner, Addrs: p.Addrs})
	}
	return peers
}
