package node

import (
	"net/netip"
	"sync"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// Clients bounds the clients that a member passes sealed packets on to. Zero
// fields take the defaults in brackets.
type Clients struct {
	Most     int // at once; negative = none [64]
	PerOwner int // of them of one owner [4]
}

func (c Clients) withDefaults() Clients {
	switch {
	case c.Most == 0:
		c.Most = 64
	case c.Most < 0:
		c.Most = 0
	}
	if c.PerOwner <= 0 {
		c.PerOwner = 4
	}
	return c
}

// leaseMost is how long an attachment lasts at most without being renewed.
const leaseMost = 3 * time.Minute

// The reasons with which attachments are refused.
const (
	reasonAttachFull  = "attach_full"  // no place for another client
	reasonAttachOwner = "attach_owner" // this person's nodes have their places already
)

// attachments are a member's clients.
type attachments struct {
	limits Clients
	now    func() time.Time // monotonic

	mu      sync.Mutex
	clients map[identity.NodeID]attachment
}

type attachment struct {
	owner identity.OwnerTag
	until time.Time
}

func newAttachments(limits Clients, now func() time.Time) *attachments {
	return &attachments{limits: limits.withDefaults(), now: now, clients: map[identity.NodeID]attachment{}}
}

// take gives a client a lease, or says why not.
func (a *attachments) take(id identity.NodeID, owner identity.OwnerTag, lease time.Duration) (refused string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	same := 0
	for other, c := range a.clients {
		if !c.until.After(now) {
			delete(a.clients, other)
		} else if c.owner == owner && other != id {
			same++
		}
	}
	if _, known := a.clients[id]; !known {
		switch {
		case len(a.clients) >= a.limits.Most:
			return reasonAttachFull
		case same >= a.limits.PerOwner:
			return reasonAttachOwner
		}
	}
	a.clients[id] = attachment{owner, now.Add(lease)}
	return ""
}

func (a *attachments) drop(id identity.NodeID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.clients, id)
}

// has tells whether a node is a client of this one now.
func (a *attachments) has(id identity.NodeID) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, ok := a.clients[id]
	return ok && c.until.After(a.now())
}

// count returns how many clients there are.
func (a *attachments) count() (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	for _, c := range a.clients {
		if c.until.After(now) {
			n++
		}
	}
	return n
}

// serveAttach takes a client on. Who is a client itself can pass nothing on:
// nobody reaches it.
func (n *Node) serveAttach(from *link.Conn, m *wire.Attach) wire.Message {
	if m.For == 0 {
		n.clients.drop(from.ID())
		return &wire.Attached{}
	}
	if n.Ring() == nil || n.isClient() || from.Relayed() {
		return wire.Errorf(wire.CodeUnavailable, "not a member of the ring")
	}
	lease := min(time.Duration(m.For)*time.Second, leaseMost)
	if reason := n.clients.take(from.ID(), from.Owner(), lease); reason != "" {
		n.cfg.Refused("node", reason)
		return wire.Errorf(wire.CodeTooMany, "no place for another client")
	}
	return &wire.Attached{For: uint16(lease / time.Second), Addrs: publicFirst(n.Self().Addrs)}
}

// passesOn tells whether this node passes sealed packets on to a node.
func (n *Node) passesOn(to identity.NodeID) bool { return n.clients.has(to) && !n.isClient() }

// publicFirst returns the addresses that a client names to its callers.
func publicFirst(addrs []netip.AddrPort) []netip.AddrPort {
	var out, rest []netip.AddrPort
	for _, a := range addrs {
		if a.Addr().IsPrivate() || a.Addr().IsLoopback() || a.Addr().IsLinkLocalUnicast() {
			rest = append(rest, a)
		} else {
			out = append(out, a)
		}
	}
	return append(out, rest...)
}
