package chord

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/secp2psip/secp2psip/internal/wire"
)

// A client is no member: it has no place on the circle, nobody lists it, and it
// answers nothing. It looks up, fetches and stores by calling members that it
// knows. To know enough of them, and to notice which have died, it asks members
// for next hops to places drawn at random.
const (
	clientFirst = 250 * time.Millisecond // between questions, until enough members are known
	clientEvery = 10 * time.Second
	clientKnows = 32 // members that are enough
	clientAsks  = 3  // members asked at a time
	clientFails = 2  // failures in a row after which a member is forgotten
)

// client is what a machine needs beyond its table in PhaseClient.
type client struct {
	next   time.Time
	asking map[ID]bool
	failed map[ID]int
}

// attend makes the node a client of the given members, which it has met.
func (m *Machine) attend(members []wire.Peer) {
	if m.phase == PhaseJoined {
		return // a member leaves first
	}
	m.dropJoin()
	m.phase = PhaseClient
	for _, p := range members {
		if p.ID != m.cfg.Self.ID {
			m.table.firsthand(clonePeer(p), m.now)
		}
	}
	m.client = client{next: m.now, asking: make(map[ID]bool), failed: make(map[ID]int)}
	m.version++
}

// dropJoin forgets the calls of an attempt to join that was given up.
func (m *Machine) dropJoin() {
	m.calls = slices.DeleteFunc(m.calls, func(f flight) bool { return f.call.kind == callJoin })
	m.join = joining{}
}

// tickClient asks some members.
func (m *Machine) tickClient() {
	if m.client.next.After(m.now) {
		return
	}
	every := clientEvery
	if m.table.verified < clientKnows {
		every = clientFirst
	}
	m.client.next = m.now.Add(m.jitter(every))
	target := m.randomID()
	near := m.hops(target)
	if len(near) == 0 { // nobody between this node and the target
		near = m.hops(m.cfg.Self.ID)
	}
	for _, p := range near {
		m.askForHops(p, target)
	}
}

func (m *Machine) randomID() (id ID) {
	binary.BigEndian.PutUint64(id[:], m.rng.Uint64())
	binary.BigEndian.PutUint64(id[8:], m.rng.Uint64())
	return id
}

func (m *Machine) askForHops(p wire.Peer, target ID) {
	if m.client.asking[p.ID] || len(m.client.asking) >= clientAsks || p.ID == m.cfg.Self.ID || len(p.Addrs) == 0 {
		return
	}
	if m.call(callFind, p, &wire.Find{Target: target}) {
		m.client.asking[p.ID] = true
	}
}

// attended takes in an answer. Members that it names and that are new are asked
// at once: a client's table is made of those that it has met.
func (m *Machine) attended(c *call, msg wire.Message, how answer) {
	delete(m.client.asking, c.peer.ID)
	found, _ := msg.(*wire.Found)
	if how != answered || found == nil {
		m.clientFailed(c.peer.ID)
		return
	}
	delete(m.client.failed, c.peer.ID)
	m.table.firsthand(c.peer, m.now)
	for _, p := range found.Peers[:min(len(found.Peers), wire.MaxPeers)] {
		if p.ID == m.cfg.Self.ID || len(p.Addrs) == 0 {
			continue
		}
		m.table.hearsay(p, c.peer.ID)
		if known := m.table.get(p.ID); known != nil && !known.is(verified) && m.table.verified < 2*clientKnows {
			m.askForHops(p, m.randomID())
		}
	}
}

// clientFailed forgets a member that has not answered twice; after the first
// time it is asked at once.
func (m *Machine) clientFailed(id ID) {
	if m.table.get(id) == nil {
		return
	}
	if m.client.failed[id]++; m.client.failed[id] >= clientFails {
		delete(m.client.failed, id)
		m.table.remove(id)
		m.version++
		m.client.next = m.now
		return
	}
	if len(m.client.failed) > clientKnows { // of members that went otherwise
		clear(m.client.failed)
	}
	m.askForHops(m.peerOf(id), m.cfg.Self.ID)
}

// Attending reports whether the node is a client that knows members to call.
func (v *View) Attending() bool { return v.Phase == PhaseClient && v.Members() > 0 }
