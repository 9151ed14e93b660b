package node

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// The bounds of opening direct ways. Who asks cannot aim this node at anybody:
// addresses that do not answer get a few requests of 20 bytes, less than thrice
// what was asked with, and nobody may ask often.
const (
	punchGain    = 3   // bytes sent for each of a Punch
	punchPadding = 800 // so that eight addresses may be sent to often enough
	punchKnocks  = 15  // to one address
	punchTime    = 4 * time.Second
	punchLinger  = 500 * time.Millisecond // before the asked side dials
	punchEvery   = 5 * time.Second        // of one node
	punchBurst   = 3
	punchesMost  = 16              // at once
	punchFirst   = 5 * time.Second // before another try; doubled each time
	punchLast    = 5 * time.Minute
	punchLook    = time.Second
)

// The reasons with which Punch is refused.
const (
	reasonPunchRate   = "punch_rate"   // a node asks too often, or too many ask at once
	reasonPunchDirect = "punch_direct" // not on a connection through a peer
)

// punches is what a node remembers of direct ways that it has tried to open.
type punches struct {
	asks  *askers
	asked chan punchAsked
	soon  chan struct{} // has a token when there is somebody new to reach

	mu     sync.Mutex
	opened int
	failed int
	tried  map[identity.NodeID]attemptAt
}

// punchAsked is what another node has asked for.
type punchAsked struct {
	by    identity.NodeID
	addrs []netip.AddrPort
	times int // each may be sent to
}

// attemptAt says when to try again.
type attemptAt struct {
	next time.Time
	wait time.Duration
}

func newPunches() *punches {
	return &punches{asks: newAskers(punchEvery, punchBurst, punchesMost), asked: make(chan punchAsked, punchesMost), soon: make(chan struct{}, 1), tried: map[identity.NodeID]attemptAt{}}
}

// again lets everything be tried anew: the host has moved.
func (p *punches) again() {
	p.mu.Lock()
	clear(p.tried)
	p.mu.Unlock()
	p.now()
}

// now has somebody new tried soon.
func (p *punches) now() {
	select {
	case p.soon <- struct{}{}:
	default:
	}
}

// due tells whether to try now, and notes that it is tried.
func (p *punches) due(id identity.NodeID, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.tried[id]
	if now.Before(at.next) {
		return false
	}
	if len(p.tried) >= maxRemembered {
		clear(p.tried)
	}
	at.wait = min(max(2*at.wait, punchFirst), punchLast)
	at.next = now.Add(at.wait)
	p.tried[id] = at
	return true
}

// done counts how it went.
func (p *punches) done(open bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if open {
		p.opened++
	} else {
		p.failed++
	}
}

// figures are how many direct ways were opened, and how many not.
func (p *punches) figures() (opened, failed int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.opened, p.failed
}

// keepPunching tries to do without a peer wherever this node has called through
// one, until ctx ends.
func (n *Node) keepPunching(ctx context.Context) {
	tick := time.NewTicker(punchLook)
	defer tick.Stop()
	var work sync.WaitGroup
	defer work.Wait()
	for {
		for _, c := range n.link.ThroughPeers() {
			if !c.Inbound() && n.link.Direct(c.ID()) == nil && n.mayMeet(c.ID()) && n.punches.due(c.ID(), time.Now()) {
				work.Go(func() { n.punch(ctx, c) })
			}
		}
		select {
		case <-ctx.Done():
			return
		case q := <-n.punches.asked:
			work.Go(func() {
				defer n.punches.asks.end()
				n.answerPunch(ctx, q)
			})
		case <-n.punches.soon:
		case <-tick.C:
		}
	}
}

// punch opens a direct way to the node at the other end of a connection through
// a peer.
func (n *Node) punch(ctx context.Context, through *link.Conn) {
	ctx, cancel := context.WithTimeout(ctx, punchTime)
	defer cancel()
	answer, err := through.Call(ctx, &wire.Punch{Addrs: n.meetingPlaces(), Padding: make([]byte, punchPadding)})
	if err != nil {
		n.cfg.Log.Debug().Err(err).Stringer("node", through.ID()).Msg("no direct way asked for")
		return
	}
	theirs, ok := answer.(*wire.Punched)
	if !ok {
		return
	}
	at, err := n.link.Knock(ctx, n.knockable(theirs.Addrs), punchKnocks)
	if err == nil {
		_, err = n.link.ConnectDirect(ctx, wire.Peer{ID: through.ID(), Addrs: []netip.AddrPort{at}})
	}
	n.punches.done(err == nil)
	if err != nil {
		n.cfg.Log.Debug().Err(err).Stringer("node", through.ID()).Msg("no direct way")
		return
	}
	n.cfg.Log.Debug().Stringer("node", through.ID()).Msg("a direct way is open")
}

// servePunch opens the way from this side.
func (n *Node) servePunch(from *link.Conn, m *wire.Punch) wire.Message {
	asked, err := wire.Encode(m)
	switch {
	case err != nil:
		return wire.Errorf(wire.CodeMalformed, "%v", err)
	case !from.Relayed():
		n.cfg.Refused("node", reasonPunchDirect)
		return wire.Errorf(wire.CodeForbidden, "there is a direct way already")
	case n.Ring() == nil || !n.punches.asks.begin(from.ID(), time.Now()):
		n.cfg.Refused("node", reasonPunchRate)
		return wire.Errorf(wire.CodeTooMany, "too many direct ways asked for")
	}
	addrs := n.knockable(m.Addrs)
	select {
	case n.punches.asked <- punchAsked{from.ID(), addrs, knocks(len(asked), len(addrs))}:
	default:
		n.punches.asks.end()
	}
	return &wire.Punched{Addrs: n.meetingPlaces()}
}

// knocks is how often each of n addresses may be sent to for a question of that
// many bytes.
func knocks(asked, n int) int {
	if n == 0 {
		return 0
	}
	return min(punchKnocks, punchGain*asked/(n*link.KnockBytes))
}

// answerPunch sends to the other side's addresses, so that what it sends comes
// in. Where only this side gets an answer, it is this side that dials.
func (n *Node) answerPunch(ctx context.Context, q punchAsked) {
	ctx, cancel := context.WithTimeout(ctx, punchTime)
	defer cancel()
	at, err := n.link.Knock(ctx, q.addrs, q.times)
	if err != nil {
		return
	}
	select {
	case <-time.After(punchLinger):
	case <-ctx.Done():
		return
	}
	if n.link.Direct(q.by) == nil {
		_, _ = n.link.ConnectDirect(ctx, wire.Peer{ID: q.by, Addrs: []netip.AddrPort{at}})
	}
}

// knockable leaves out what is nobody's way to another host.
func (n *Node) knockable(addrs []netip.AddrPort) []netip.AddrPort {
	local := n.link.Addr().Addr().IsLoopback()
	return slices.DeleteFunc(slices.Clone(addrs), func(a netip.AddrPort) bool {
		ip := a.Addr()
		return ip.IsMulticast() || ip.IsLoopback() && !local || slices.Contains(n.Self().Addrs, a)
	})
}
