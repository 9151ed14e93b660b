package link

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// flowIdle is how long a flow that carries nothing is kept, and with it the way
// back from the client to the stranger.
const flowIdle = time.Minute

// passer passes sealed packets on between strangers and this node's clients,
// within bounds. Who may be a client, Config.PassOn says.
type passer struct {
	lim Limits

	mu      sync.Mutex
	flows   map[flowID]*flow
	clients map[identity.NodeID]*passClient
	sought  map[identity.NodeID]bool // members that are being connected to
}

// maxSought bounds the members that are being connected to because a client's
// packets are for them.
const maxSought = 16

type flowID struct{ stranger, client identity.NodeID }

type flow struct {
	used  time.Time
	limit *rate.Limiter // bytes, both ways together
}

// passClient is what all flows of one client share.
type passClient struct {
	flows int
	limit *rate.Limiter // bytes
}

func newPasser(lim Limits) *passer {
	return &passer{lim: lim, flows: make(map[flowID]*flow), clients: make(map[identity.NodeID]*passClient), sought: make(map[identity.NodeID]bool)}
}

// admit counts n bytes of a flow in, or says why they are dropped. Only the
// stranger opens a flow.
func (p *passer) admit(id flowID, n int, open bool, now time.Time) (refused string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.flows[id]
	if f == nil {
		if !open {
			return ReasonSealedFlow
		}
		var reason string
		if f, reason = p.openLocked(id, now); reason != "" {
			return reason
		}
	}
	f.used = now
	if !f.limit.AllowN(now, n) || !p.clients[id.client].limit.AllowN(now, n) {
		return ReasonSealedRate
	}
	return ""
}

func (p *passer) openLocked(id flowID, now time.Time) (*flow, string) {
	c := p.clients[id.client]
	if len(p.flows) >= p.lim.Flows || c != nil && c.flows >= p.lim.FlowsPerClient {
		p.forgetLocked(now)
		c = p.clients[id.client]
	}
	if len(p.flows) >= p.lim.Flows || c != nil && c.flows >= p.lim.FlowsPerClient {
		return nil, ReasonSealedFlows
	}
	if c == nil {
		c = &passClient{limit: rate.NewLimiter(rate.Limit(p.lim.ClientBytes), p.lim.ClientBytes)}
		p.clients[id.client] = c
	}
	c.flows++
	f := &flow{limit: rate.NewLimiter(rate.Limit(p.lim.FlowBytes), p.lim.FlowBytes)}
	p.flows[id] = f
	return f, ""
}

// forgetLocked drops the flows that have carried nothing for a while.
func (p *passer) forgetLocked(now time.Time) {
	for id, f := range p.flows {
		if now.Sub(f.used) < flowIdle {
			continue
		}
		delete(p.flows, id)
		if c := p.clients[id.client]; c.flows > 1 {
			c.flows--
		} else {
			delete(p.clients, id.client)
		}
	}
}

func (p *passer) forget(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forgetLocked(now)
}

// sealed takes a datagram with a sealed packet: for this node, or to be passed
// on.
func (l *Link) sealed(from *Conn, b []byte) {
	direction, node, packet, ok := splitSealed(b)
	switch {
	case !ok || from.relayed: // no peer behind a peer
		l.cfg.Refused(ReasonSealedBad)
	case direction == sealedOn:
		l.passOn(from, node, packet)
	case !l.vias.has(from.ID()) && !l.cfg.Across.Hears(from.ID()):
		l.cfg.Refused(ReasonSealedPeer)
	default:
		l.relay.deliver(relayAddr{node: node, via: from.ID()}, packet)
	}
}

// passOn passes a packet on between a client of this node and anybody else.
func (l *Link) passOn(from *Conn, to identity.NodeID, packet []byte) {
	id, open := flowID{stranger: from.ID(), client: to}, true
	if !l.cfg.PassOn(to) {
		id, open = flowID{stranger: to, client: from.ID()}, false
		if !l.cfg.PassOn(from.ID()) {
			l.cfg.Refused(ReasonSealedStranger)
			return
		}
		if member, ok := l.cfg.Across.Passes(from.ID(), from.RemoteAddr().Addr(), to); ok {
			open = true
			l.prepare(member)
		}
	} else if l.cfg.PassOn(from.ID()) && l.passer.known(flowID{stranger: to, client: from.ID()}) {
		id, open = flowID{stranger: to, client: from.ID()}, false // the answer of one client to another
	}
	out := l.pool.direct(to)
	if out == nil || to == from.ID() {
		l.cfg.Refused(ReasonSealedGone)
		return
	}
	if reason := l.passer.admit(id, len(packet), open, time.Now()); reason != "" {
		l.cfg.Refused(reason)
		return
	}
	var buf [sealedHead + sealedPacket]byte
	_ = out.SendDatagram(appendSealed(buf[:0], sealedFrom, from.ID(), packet)) // counted there
}

// prepare connects to a member to which packets are to be passed on; the first of
// them come again.
func (l *Link) prepare(member wire.Peer) {
	if l.pool.direct(member.ID) != nil || !l.passer.seek(member.ID) {
		return
	}
	seek := func() {
		defer l.passer.found(member.ID)
		_, _ = l.Connect(l.life, member)
	}
	if !l.spawn(seek) {
		l.passer.found(member.ID)
	}
}

// seek reports whether a member is to be connected to: nobody does so yet, and not
// too many are.
func (p *passer) seek(member identity.NodeID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sought[member] || len(p.sought) >= maxSought {
		return false
	}
	p.sought[member] = true
	return true
}

func (p *passer) found(member identity.NodeID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.sought, member)
}

func (p *passer) known(id flowID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.flows[id] != nil
}
