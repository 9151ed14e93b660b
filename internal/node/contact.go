package node

import (
	"context"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// Bounds of asking around for somebody to join through.
const (
	dialAtOnce  = 16
	enoughSeeds = 3                      // answer: no need to wait for the dead ones
	lateSeeds   = 150 * time.Millisecond // how long one that answered waits for others
)

// dialer opens one connection.
type dialer func(ctx context.Context) (*link.Conn, error)

// contact connects to those we may join through, learns the time from those
// that answer and, beside that, has them dial this node back. It returns them.
func (n *Node) contact(ctx context.Context) ([]wire.Peer, verdict) {
	outer := ctx
	ctx, cancel := context.WithTimeout(ctx, contactTimeout)
	defer cancel()
	var dials []dialer
	for _, addr := range n.SeedAddrs(ctx) {
		dials = append(dials, func(ctx context.Context) (*link.Conn, error) { return n.link.ConnectAny(ctx, addr) })
	}
	owners := map[identity.OwnerTag]bool{}
	for _, p := range n.candidates() {
		owners[p.Owner] = true
		dial := func(ctx context.Context) (*link.Conn, error) { return n.link.Connect(ctx, p) }
		if n.named(p.ID) {
			dial = n.strangers.watched(p, dial)
		}
		dials = append(dials, dial)
	}
	conns, all := n.dialAll(ctx, dials)
	n.judgeNamed()
	peers := make([]wire.Peer, 0, len(conns))
	for _, c := range conns {
		peers = append(peers, wire.Peer{ID: c.ID(), Owner: c.Owner(), Addrs: []netip.AddrPort{c.RemoteAddr()}})
	}
	var v verdict
	var beside sync.WaitGroup
	if n.cfg.Role == RoleAuto {
		beside.Go(func() { v = n.prove(outer, peers) })
	}
	n.learnFrom(ctx, conns, owners, all)
	beside.Wait()
	return peers, v
}

// jitter returns d, give or take a quarter.
func jitter(d time.Duration) time.Duration { return d*3/4 + rand.N(d/2+1) } // #nosec G404 -- spreads load over time

// named reports whether an enrolment named a peer to join through.
func (n *Node) named(id identity.NodeID) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.ContainsFunc(n.peers, func(p wire.Peer) bool { return p.ID == id })
}

// candidates are the members that somebody has named or that were live when
// this node last looked, each once.
func (n *Node) candidates() []wire.Peer {
	n.mu.Lock()
	named := slices.Clone(n.peers)
	n.mu.Unlock()
	var out []wire.Peer
	for _, p := range append(named, n.loadKnown()...) {
		same := func(o wire.Peer) bool { return o.ID == p.ID }
		if p.ID != n.id && len(p.Addrs) > 0 && !slices.ContainsFunc(out, same) {
			out = append(out, p)
		}
	}
	return out
}

// dialAll connects, dialAtOnce at a time, until enoughSeeds have answered, the
// others are late, or all have been tried. all tells that every one answered.
func (n *Node) dialAll(ctx context.Context, dials []dialer) (up []*link.Conn, all bool) {
	ctx, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	next := make(chan dialer, len(dials))
	for _, d := range dials {
		next <- d
	}
	close(next)
	answers := make(chan *link.Conn, len(dials))
	for range min(dialAtOnce, len(dials)) {
		work.Go(func() {
			for dial := range next {
				c, err := dial(ctx)
				if err != nil {
					n.cfg.Log.Debug().Err(err).Msg("a seed does not answer")
				}
				answers <- c
			}
		})
	}
	all = true
	var late <-chan time.Time
	for range dials {
		select {
		case c := <-answers:
			switch {
			case c == nil:
				all = false
			case !slices.ContainsFunc(up, func(o *link.Conn) bool { return o.ID() == c.ID() }):
				up = append(up, c)
			}
		case <-late:
			return up, false
		}
		if len(up) >= enoughSeeds {
			return up, all && len(up) == len(dials)
		}
		if len(up) == 1 && late == nil {
			late = time.After(lateSeeds)
		}
	}
	return up, all
}

// fewOwners: with fewer others than that there is no majority to ask.
const fewOwners = 3

// learnFrom asks connected nodes for the time. Where fewer than three other
// owners are known, known being those that this node has heard of, and all of
// them answer, their word suffices while nobody better has confirmed the time.
func (n *Node) learnFrom(ctx context.Context, conns []*link.Conn, known map[identity.OwnerTag]bool, all bool) {
	if n.cfg.Alone && !n.time.Doubtful(n.began()) {
		return // who issues keeps the time
	}
	samples := make([]*identity.TimeSample, len(conns))
	var work sync.WaitGroup
	for i, c := range conns {
		work.Go(func() {
			s, err := AskTime(ctx, c, n.time)
			if err != nil {
				n.cfg.Log.Debug().Err(err).Msg("a node does not tell the time")
				return
			}
			s.Owner, s.Issuer = c.Owner(), c.Bootstrap()
			samples[i] = &s
		})
	}
	work.Wait()
	others := map[identity.OwnerTag]bool{}
	var heard, foreign []identity.TimeSample
	for owner := range known {
		others[owner] = true
	}
	for _, c := range conns {
		others[c.Owner()] = true
	}
	for _, s := range samples {
		if s == nil {
			all = false
			continue
		}
		heard = append(heard, *s)
		if s.Owner != n.owner || s.Issuer {
			foreign = append(foreign, *s)
		}
	}
	delete(others, n.owner)
	everybody := all && len(others) < fewOwners && len(heard) > 0 && !n.time.Synced()
	if !everybody {
		heard = foreign // one's own other devices are no second opinion
	}
	if len(heard) > 0 {
		n.time.Learn(heard, everybody)
	}
}

// membersAsked is how many members are asked for the time.
const membersAsked = 8

// askMembers learns the time from members of the ring: after the join, while
// nobody has confirmed the time, and now and then.
func (n *Node) askMembers(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, contactTimeout)
	defer cancel()
	owners := map[identity.OwnerTag]bool{}
	for _, p := range n.candidates() {
		owners[p.Owner] = true
	}
	var dials []dialer
	asked := map[identity.OwnerTag]bool{}
	for _, p := range n.Ring().Known() {
		owners[p.Owner] = true
		if asked[p.Owner] || len(dials) == membersAsked {
			continue
		}
		asked[p.Owner] = true
		dials = append(dials, func(ctx context.Context) (*link.Conn, error) { return n.link.Connect(ctx, p) })
	}
	conns, all := n.dialAll(ctx, dials)
	n.learnFrom(ctx, conns, owners, all && len(dials) > 0)
}

// SeedAddrs returns the bootstrap servers' addresses, resolved by DNS where
// they are names.
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
		found, err := resolveHost(ctx, s)
		if err != nil {
			n.cfg.Log.Debug().Err(err).Str("server", s).Msg("a bootstrap server's name cannot be resolved")
		}
		addrs = append(addrs, found...)
	}
	return addrs
}

func resolveHost(ctx context.Context, hostport string) ([]netip.AddrPort, error) {
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		return nil, err
	}
	number, err := net.DefaultResolver.LookupPort(ctx, "udp", port)
	if err != nil {
		return nil, err
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	var addrs []netip.AddrPort
	for _, ip := range ips[:min(len(ips), wire.MaxAddrs)] {
		addrs = append(addrs, netip.AddrPortFrom(ip.Unmap(), uint16(number)))
	}
	return addrs, nil
}
