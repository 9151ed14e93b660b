package link

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
)

// gate bounds the incoming handshakes that are under way.
type gate struct {
	limits  Limits
	refused func(string)

	mu     sync.Mutex
	total  int
	byAddr map[netip.Addr]int
}

// pass is one handshake's place, left exactly once.
type pass struct {
	gate   *gate
	addr   netip.Addr
	left   atomic.Bool
	timer  *time.Timer
	stop   func() bool
	reason atomic.Pointer[string]
}

type passKey struct{}

// passFrom returns the pass of the connection that ctx belongs to.
func passFrom(ctx context.Context) *pass {
	p, _ := ctx.Value(passKey{}).(*pass)
	return p
}

var errGate = errors.New("too many handshakes")

func newGate(limits Limits, refused func(string)) *gate {
	return &gate{limits: limits, refused: refused, byAddr: make(map[netip.Addr]int)}
}

// admit is quic.Transport's ConnContext: it runs when an incoming handshake
// begins, after Retry where one was asked for. The pass ends with ctx, or when
// the handshake is complete; at the latest some time after its limit.
func (g *gate) admit(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
	addr := gateAddr(info.RemoteAddr)
	if reason := g.enter(addr); reason != "" {
		g.refused(reason)
		return nil, errGate
	}
	p := &pass{gate: g, addr: addr}
	p.timer = time.AfterFunc(2*g.limits.Handshake, p.fail)
	ctx = context.WithValue(ctx, passKey{}, p)
	p.stop = context.AfterFunc(ctx, p.fail)
	return ctx, nil
}

func (g *gate) enter(addr netip.Addr) (reason string) {
	most := g.limits.HandshakesPerAddr
	if addr.IsLoopback() {
		most = g.limits.HandshakesPerLoopback
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.total >= g.limits.Handshakes:
		return ReasonHandshakes
	case g.byAddr[addr] >= most:
		return ReasonHandshakesAddr
	}
	g.total++
	g.byAddr[addr]++
	return ""
}

func (g *gate) leave(addr netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.total--
	if g.byAddr[addr]--; g.byAddr[addr] == 0 {
		delete(g.byAddr, addr)
	}
}

// because notes why the handshake is about to fail.
func (p *pass) because(reason string) {
	if p != nil {
		p.reason.CompareAndSwap(nil, &reason)
	}
}

// done ends the pass of a handshake that is complete.
func (p *pass) done() {
	if p == nil || p.left.Swap(true) {
		return
	}
	p.timer.Stop()
	p.stop()
	p.gate.leave(p.addr)
}

func (p *pass) fail() {
	if p.left.Swap(true) {
		return
	}
	p.timer.Stop()
	p.gate.leave(p.addr)
	if r := p.reason.Load(); r != nil {
		p.gate.refused(*r)
		return
	}
	p.gate.refused(ReasonHandshake)
}

// gateAddr returns the address by which handshakes are counted: an IPv6 host
// has a whole /64.
func gateAddr(a net.Addr) netip.Addr {
	addr := addrPort(a).Addr()
	if addr.Is6() && !addr.IsLoopback() {
		if p, err := addr.WithZone("").Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return addr
}
