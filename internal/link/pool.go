package link

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
)

// pool holds the connections to other nodes, whoever opened them.
type pool struct {
	most, perPeer int

	mu     sync.Mutex
	byNode map[identity.NodeID][]*Conn // oldest first
	n      int
}

func newPool(most, perPeer int) *pool {
	return &pool{most: most, perPeer: perPeer, byNode: make(map[identity.NodeID][]*Conn)}
}

// get returns the newest live connection to a node, or nil. The newest, because
// a node that has restarted is behind that one only; a direct one before one
// through a peer.
func (p *pool) get(id identity.NodeID) *Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.directLocked(id); c != nil {
		return c
	}
	for _, c := range slices.Backward(p.byNode[id]) {
		if c.alive() && p.directLocked(c.via) != nil {
			return c
		}
	}
	return nil
}

// direct is get for a connection whose packets nobody passes on.
func (p *pool) direct(id identity.NodeID) *Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.directLocked(id)
}

func (p *pool) directLocked(id identity.NodeID) *Conn {
	for _, c := range slices.Backward(p.byNode[id]) {
		if c.alive() && !c.relayed {
			return c
		}
	}
	return nil
}

// add takes c in. It returns the connections that have to go for it, and false
// where there is no place because every other connection is in use.
func (p *pool) add(c *Conn) (evicted []*Conn, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	same := p.byNode[c.ID()]
	unused := slices.IndexFunc(same, func(o *Conn) bool { return o.busy.Load() == 0 })
	if len(same) >= p.perPeer {
		evicted = append(evicted, same[max(unused, 0)])
	} else if p.n >= p.most {
		idle := p.leastUsedLocked()
		if unused >= 0 { // c is to take its place
			idle = same[unused]
		}
		if idle == nil {
			return nil, false
		}
		evicted = append(evicted, idle)
	}
	for _, e := range evicted {
		p.removeLocked(e)
	}
	p.byNode[c.ID()] = append(p.byNode[c.ID()], c)
	p.n++
	return evicted, true
}

func (p *pool) remove(c *Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.removeLocked(c)
}

func (p *pool) removeLocked(c *Conn) {
	conns := p.byNode[c.ID()]
	i := slices.Index(conns, c)
	if i < 0 {
		return
	}
	p.n--
	if conns = slices.Delete(conns, i, i+1); len(conns) == 0 {
		delete(p.byNode, c.ID())
		return
	}
	p.byNode[c.ID()] = conns
}

// leastUsedLocked returns the connection without requests and streams that has
// been so for the longest time, or nil.
func (p *pool) leastUsedLocked() *Conn {
	var least *Conn
	for _, conns := range p.byNode {
		for _, c := range conns {
			if c.busy.Load() == 0 && (least == nil || c.used.Load() < least.used.Load()) {
				least = c
			}
		}
	}
	return least
}

// spare returns the connections that have not been used for so long and beside
// which there is a newer one to the same node.
func (p *pool) spare(idle time.Duration) []*Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []*Conn
	for _, conns := range p.byNode {
		for _, c := range conns[:len(conns)-1] {
			if c.busy.Load() == 0 && c.unused() >= idle && conns[len(conns)-1].alive() {
				out = append(out, c)
			}
		}
	}
	return out
}

// at returns the newest live connection to whichever node is at addr, or nil.
func (p *pool) at(addr netip.AddrPort) (newest *Conn) {
	for _, c := range p.all() {
		if c.alive() && c.RemoteAddr() == addr && (newest == nil || c.born > newest.born) {
			newest = c
		}
	}
	return newest
}

// current returns the connection to each node that get does.
func (p *pool) current() (out []*Conn) {
	var last *Conn
	for _, c := range p.all() {
		if last == nil || last.ID() != c.ID() {
			if now := p.get(c.ID()); now != nil {
				out = append(out, now)
			}
		}
		last = c
	}
	return out
}

// all returns every connection, ordered by Node-ID.
func (p *pool) all() []*Conn {
	p.mu.Lock()
	var out []*Conn
	for _, conns := range p.byNode {
		out = append(out, conns...)
	}
	p.mu.Unlock()
	slices.SortStableFunc(out, func(a, b *Conn) int {
		return cmp.Or(a.ID().Compare(b.ID()), cmp.Compare(a.born, b.born))
	})
	return out
}
