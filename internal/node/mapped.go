package node

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/secp2psip/secp2psip/internal/portmap"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// When a router's claim to have mapped the port is put to the proof.
const (
	mappedFirst = 2 * time.Second // after a proof that failed; doubled each time
	mappedLast  = 5 * time.Minute
	mappedIdle  = time.Hour // where there is nothing to prove
)

// mapped is what a node knows of the port that its router maps to it. What the
// router says is a candidate; it is published when others have called this node
// there.
type mapped struct {
	wake chan struct{} // has a token when the router says something else

	mu     sync.Mutex
	mapper *portmap.Mapper // nil before the port is bound
	proven netip.AddrPort
	by     []Voucher
	failed int // proofs in a row that failed
	silent int // owners that tried and did not get through when it was last tried
}

func newMapped() *mapped { return &mapped{wake: make(chan struct{}, 1)} }

func (m *mapped) changed() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// again has the router asked anew: the host has moved.
func (m *mapped) again() {
	if m == nil {
		return
	}
	m.mu.Lock()
	mapper := m.mapper
	m.mu.Unlock()
	if mapper != nil {
		mapper.Again()
	}
}

// address is where others have called this node through the router; invalid
// where there is no such place.
func (m *mapped) address() netip.AddrPort {
	if m == nil {
		return netip.AddrPort{}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.proven
}

// keepMapped has the router map the link's port, and others prove it, until ctx
// ends. The mapping is taken back then.
func (n *Node) keepMapped(ctx context.Context) {
	cfg := *n.cfg.PortMapping
	cfg.Port, cfg.Changed, cfg.Refused, cfg.Log = n.link.Addr().Port(), n.mapped.changed, n.count("portmap"), room(n.cfg.Log, "portmap")
	mapper := portmap.New(cfg)
	n.mapped.mu.Lock()
	n.mapped.mapper = mapper
	n.mapped.mu.Unlock()
	var work sync.WaitGroup
	defer work.Wait()
	work.Go(func() { mapper.Run(ctx) })
	select {
	case <-n.joined: // before, there is nobody to prove it
	case <-ctx.Done():
		return
	}
	for {
		select {
		case <-time.After(n.proveMapped(ctx, mapper.State().External)):
		case <-n.mapped.wake:
			n.mapped.mu.Lock()
			n.mapped.failed, n.mapped.silent = 0, 0
			n.mapped.mu.Unlock()
		case <-ctx.Done():
			return
		}
	}
}

// proveMapped has others call this node at what the router says, and tells when
// to do so again.
func (n *Node) proveMapped(ctx context.Context, claim netip.AddrPort) time.Duration {
	m := n.mapped
	if !claim.IsValid() {
		m.mu.Lock()
		m.proven, m.by, m.silent = netip.AddrPort{}, nil, 0
		m.mu.Unlock()
		n.refreshAddrs()
		return mappedIdle
	}
	v := n.proveAt(ctx, n.overIPv4(), []netip.AddrPort{claim})
	m.mu.Lock()
	fresh, wait := false, jitter(n.cfg.Reach.Check)
	switch {
	case len(v.by) > 0 && v.reachable():
		fresh = m.proven != claim
		m.proven, m.by, m.failed, m.silent = claim, v.by, 0, 0
	default:
		m.failed++
		if v.silent > 0 {
			m.silent = v.silent
		}
		if m.proven != claim || v.unreachable() && m.failed >= strikes {
			m.proven, m.by = netip.AddrPort{}, nil
		}
		wait = jitter(min(mappedFirst<<min(m.failed-1, 10), mappedLast))
	}
	m.mu.Unlock()
	n.refreshAddrs()
	if fresh {
		n.moved()
	}
	return wait
}

// overIPv4 are known members that this node reaches by IPv4: only they see the
// address that a router translates to.
func (n *Node) overIPv4() []wire.Peer {
	return slices.DeleteFunc(n.Ring().Known(), func(p wire.Peer) bool {
		return !slices.ContainsFunc(p.Addrs, func(a netip.AddrPort) bool { return a.Addr().Unmap().Is4() })
	})
}
