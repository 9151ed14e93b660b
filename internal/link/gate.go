package link

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
)

// gate bounds the incoming handshakes that are under way.
type gate struct {
	limit    time.Duration // of one handshake
	quota    *quota
	unproven atomic.Int64 // under way from addresses that have not proven themselves
	believes int64        // so many of those at most
	refused  func(string)
}

// pass is one handshake's place, left exactly once.
type pass struct {
	gate   *gate
	addr   netip.Addr
	proven bool // the address

	mu     sync.Mutex
	left   bool
	timer  *time.Timer
	stop   func() bool
	reason string // why the handshake is about to fail, where it is known
	own    *credentials
}

type passKey struct{}

// passFrom returns the pass of the connection that ctx belongs to.
func passFrom(ctx context.Context) *pass {
	p, _ := ctx.Value(passKey{}).(*pass)
	return p
}

var errGate = errors.New("too many handshakes")

func newGate(l Limits, refused func(string)) *gate {
	return &gate{
		limit:    l.Handshake,
		quota:    newQuota(l.Handshakes, l.HandshakesPerAddr, l.HandshakesPerLoopback, ReasonHandshakes, ReasonHandshakesAddr),
		believes: int64(l.Unproven),
		refused:  refused,
	}
}

// admit is quic.Transport's ConnContext: it runs when an incoming handshake
// begins, after Retry where one was asked for. The pass ends with ctx, or when
// the handshake is complete; at the latest some time after its limit.
func (g *gate) admit(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
	addr := hostOf(info.RemoteAddr)
	if reason := g.quota.enter(addr); reason != "" {
		g.refused(reason)
		return nil, errGate
	}
	p := &pass{gate: g, addr: addr, proven: info.AddrVerified, reason: ReasonHandshake}
	if !p.proven {
		g.unproven.Add(1)
	}
	ctx = context.WithValue(ctx, passKey{}, p)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.timer = time.AfterFunc(2*g.limit, p.fail)
	p.stop = context.AfterFunc(ctx, p.fail)
	return ctx, nil
}

// full reports whether those who have not proven their addresses have all the
// places that they may have. Who invents senders would have every place else, at
// fifty a second, for as long as a handshake may take.
func (g *gate) full() bool { return g.unproven.Load() >= g.believes }

// because notes why the handshake is about to fail.
func (p *pass) because(reason string) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reason = reason
}

// show notes which certificate this node shows.
func (p *pass) show(own *credentials) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.own = own
}

// shown returns which one it has, or else what is given.
func (p *pass) shown(otherwise *credentials) *credentials {
	if p == nil {
		return otherwise
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.own == nil {
		return otherwise
	}
	return p.own
}

// done ends the pass of a handshake that is complete.
func (p *pass) done() {
	if p != nil {
		p.leave()
	}
}

// fail ends the pass of a handshake that is not, and counts it.
func (p *pass) fail() {
	if reason, first := p.leave(); first {
		p.gate.refused(reason)
	}
}

func (p *pass) leave() (reason string, first bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left {
		return "", false
	}
	p.left = true
	p.timer.Stop()
	p.stop()
	p.gate.quota.leave(p.addr)
	if !p.proven {
		p.gate.unproven.Add(-1)
	}
	return p.reason, true
}
