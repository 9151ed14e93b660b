package chord

import (
	"slices"

	"github.com/secp2psip/secp2psip/chord/zave"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// nextHops is how many next hops an answer to Find or Join gives.
const nextHops = 4

// serve answers a request. Every request gets exactly one reply.
func (m *Machine) serve(r Request) {
	msg := m.answer(r.From, r.Msg)
	m.spent(msg)
	m.emit(Effect{Kind: Reply, ID: r.Token, Msg: msg})
}

func (m *Machine) answer(from wire.Peer, msg wire.Message) wire.Message {
	if says, ok := sender(msg); ok && says.ID != from.ID || from.ID == m.cfg.Self.ID {
		m.refuse(RefusedWrongSender)
		return wire.Errorf(wire.CodeForbidden, "that is not your own Node-ID")
	}
	if m.phase != PhaseJoined {
		if msg.Type() == wire.TypeJoin {
			m.sawJoining(from.ID)
		}
		m.refuse(RefusedNotJoined)
		return wire.Errorf(wire.CodeUnavailable, "not a member of the ring")
	}
	if msg.Type() != wire.TypeFind { // which clients ask, too
		m.alive(from.ID, 0)
	}
	switch msg := msg.(type) {
	case *wire.GetState:
		m.caller(from)
		if from.ID == m.ring.Head() && !m.ring.Small() {
			m.soon()
		}
		return m.tellState(msg.Seen)
	case *wire.Find:
		return m.find(msg.Target)
	case *wire.Join:
		return m.admit(m.self(from, msg.Self))
	case *wire.Notify:
		return m.notified(m.self(from, msg.Self))
	case *wire.Leave:
		return m.left(from, msg)
	}
	return m.answerNews(from.ID, msg)
}

func (m *Machine) answerNews(from ID, msg wire.Message) wire.Message {
	switch msg := msg.(type) {
	case *wire.Gossip:
		return m.heardGossip(from, msg)
	case *wire.Doubt:
		return m.heardDoubt(from, msg)
	case *wire.GetMembers:
		return m.serveMembers(msg)
	case *wire.GetCertificates:
		if m.gossips() {
			return m.cfg.Verifier.Certificates(msg.Hashes)
		}
	}
	m.refuse(RefusedUnsupported)
	return wire.Errorf(wire.CodeUnsupported, "not a message of the ring")
}

// sender returns the peer that a message names as its sender.
func sender(msg wire.Message) (wire.Peer, bool) {
	switch msg := msg.(type) {
	case *wire.Join:
		return msg.Self, true
	case *wire.Notify:
		return msg.Self, true
	case *wire.Leave:
		return msg.Self, true
	}
	return wire.Peer{}, false
}

// caller follows up a call from a node that this one does not know: only
// members ask for states, so a member it may be.
func (m *Machine) caller(from wire.Peer) {
	if m.table.get(from.ID) == nil {
		if m.dead.byID[from.ID] != nil {
			m.probe(from.ID)
			return
		}
		m.hear(from, from.ID)
	}
}

// tellState answers who has seen an earlier state with what has changed since, as
// far as that is remembered.
func (m *Machine) tellState(seen uint64) wire.Message {
	s := m.state()
	digest := s.Digest()
	if seen == digest {
		return &wire.Unchanged{}
	}
	var short *wire.Changed
	if old := m.toldStates.find(seen); old != nil {
		short = s.Since(old)
	}
	if m.toldStates.find(digest) == nil {
		m.toldStates.add(digest, s)
	}
	if short != nil {
		return short
	}
	return s
}

// toldStates are the last states that a node has told.
type toldStates struct {
	states [8]*wire.State
	digest [8]uint64
	next   int
}

func (t *toldStates) find(digest uint64) *wire.State {
	if i := slices.Index(t.digest[:], digest); digest != 0 && i >= 0 {
		return t.states[i]
	}
	return nil
}

func (t *toldStates) add(digest uint64, s *wire.State) {
	t.states[t.next], t.digest[t.next] = s, digest
	t.next = (t.next + 1) % len(t.states)
}

func (m *Machine) state() *wire.State {
	pred := m.peerOf(m.ring.Pred)
	return &wire.State{Self: m.cfg.Self, Pred: &pred, Succ: m.successors()}
}

// peerOf returns a neighbour with its addresses, as far as they are known.
func (m *Machine) peerOf(id ID) wire.Peer {
	if id == m.cfg.Self.ID {
		return m.cfg.Self
	}
	if c := m.table.get(id); c != nil {
		return c.peer()
	}
	if g := m.dead.byID[id]; g != nil {
		return g.peer
	}
	return wire.Peer{ID: id}
}

// successors returns the list. Padding stays in, without addresses: it keeps
// the list long, and a reader that reaches it drops it.
func (m *Machine) successors() []wire.Peer {
	out := make([]wire.Peer, 0, m.ring.Succ.Len())
	for _, id := range m.ring.Succ.IDs() {
		out = append(out, m.peerOf(id))
	}
	return out
}

// find answers a look-up: the responsible node and its successors, where the
// target lies in this node's interval or in its first successor's, else the
// closest members before the target.
func (m *Machine) find(target ID) wire.Message {
	if !m.settledNow() {
		m.refuse(RefusedNotJoined)
		return wire.Errorf(wire.CodeUnavailable, "all neighbours were lost just now")
	}
	self, head := m.cfg.Self.ID, m.ring.Head()
	switch {
	case head == self:
		return &wire.Found{Done: true, Peers: []wire.Peer{m.cfg.Self}}
	case zave.Owns(m.ring.Pred, target, self):
		return &wire.Found{Done: true, Peers: append([]wire.Peer{m.cfg.Self}, m.reachable()...)}
	case zave.Owns(self, target, head):
		peers := m.reachable()
		if m.ring.Small() { // the list comes round to this node
			peers = append(peers, m.cfg.Self)
		}
		return &wire.Found{Done: true, Peers: peers}
	}
	return &wire.Found{Peers: m.hops(target)}
}

// reachable returns the successors that have an address; suspect ones go to the
// end, so that a reader gets round a node that has just died.
func (m *Machine) reachable() []wire.Peer {
	out := make([]wire.Peer, 0, m.ring.Succ.Len()+1)
	for _, wantSuspect := range []bool{false, true} {
		for _, id := range m.ring.Succ.IDs() {
			if c := m.table.get(id); c != nil && c.is(suspect) == wantSuspect {
				out = append(out, c.peer())
			}
		}
	}
	return out
}

// hops returns the members that precede target most closely. One of them is
// from the successor list: it may be far from the target, but the list is looked
// after, while members in the table may have died unnoticed.
func (m *Machine) hops(target ID) []wire.Peer {
	var buf [nextHops]*contact
	near := m.table.order.before(m.cfg.Self.ID, target, nextHops-1, buf[:0])
	ids := m.ring.Succ.IDs()
	for i := len(ids) - 1; i >= 0; i-- {
		c := m.table.get(ids[i])
		if c == nil || c.is(suspect) || !between(m.cfg.Self.ID, ids[i], target) {
			continue
		}
		if !slices.Contains(near, c) {
			near = append(near, c)
		}
		break
	}
	out := make([]wire.Peer, len(near))
	for i, c := range near {
		out[i] = c.peer()
	}
	return out
}

// admit answers a Join. A node that this one still lists has come back without
// its state: its former self has failed.
func (m *Machine) admit(j wire.Peer) wire.Message {
	if !m.settledNow() {
		m.refuse(RefusedNotJoined)
		return wire.Errorf(wire.CodeUnavailable, "all neighbours were lost just now")
	}
	if !m.history.answers(j.ID, m.now) {
		m.refuse(RefusedJoinsOften)
		return waits(leastWait, "it has asked too often of late")
	}
	m.failedBefore(j.ID)
	m.dead.raise(j.ID)
	at := m.ring.View()
	if _, ok := zave.Join(j.ID, at); !ok {
		return &wire.Joined{Closer: m.hops(j.ID)}
	}
	if wait := m.bars(j); wait != nil {
		return wait
	}
	self := m.cfg.Self
	answer := &wire.Joined{Accepted: true, Pred: &self, Succ: m.successors()}
	m.table.firsthand(j, m.now)
	m.setRing(zave.Meet(m.ring, j.ID))
	m.hurry()
	return answer
}

func (m *Machine) failedBefore(id ID) {
	m.setRing(zave.Forget(m.ring, id))
	for range zave.MaxSuccessors {
		if m.ring.Head() != id || m.ring.Small() {
			break
		}
		m.setRing(zave.SuccessorDead(m.ring).State)
	}
	if m.ring.Pred == id {
		m.predDead = true
		m.version++
	}
}

// notified is Rectify.
func (m *Machine) notified(p wire.Peer) wire.Message {
	if wait := m.barsReturn(p); wait != nil {
		return wait
	}
	if !m.table.firsthand(p, m.now) {
		m.refuse(RefusedBusy)
		return wire.Errorf(wire.CodeTooMany, "the table of members is full")
	}
	if m.dead.raise(p.ID) {
		m.rouseDead()
		m.reunited(false)
	}
	pred := m.ring.Pred
	if p.ID != pred && !between(pred, p.ID, m.ring.Self) && !m.predDead && !m.ring.Small() {
		// Whether the predecessor lives decides; find out.
		if !m.hasWaiting || between(m.waiting.ID, p.ID, m.ring.Self) {
			m.waiting, m.hasWaiting = p, true
		}
		if !m.heardWithin(pred, m.cfg.Timing.Fast) {
			m.probe(pred)
		}
		return &wire.Ack{}
	}
	m.setRing(zave.Rectify(m.ring, p.ID, !m.predDead))
	return &wire.Ack{}
}

// left takes in a goodbye. What the leaver says of its neighbours helps, but is
// checked like any other hearsay.
func (m *Machine) left(from wire.Peer, msg *wire.Leave) wire.Message {
	m.departedAt(from.ID)
	says := &wire.State{Self: from, Pred: msg.Pred, Succ: msg.Succ}
	m.table.remove(from.ID)
	m.dead.raise(from.ID)
	m.learn(says)
	wasHead := from.ID == m.ring.Head()
	if wasHead && !m.ring.Small() {
		m.setRing(zave.SuccessorDead(m.ring).State)
	}
	m.setRing(zave.Forget(m.ring, from.ID))
	m.table.remove(from.ID) // in case the leaver named itself
	if m.ring.Pred == from.ID {
		m.predDead = true
		m.version++
		if msg.Pred != nil && msg.Pred.ID != m.ring.Self {
			m.waiting, m.hasWaiting = *msg.Pred, true
		}
		if m.hasWaiting {
			m.adoptWaiting()
		}
	}
	if wasHead {
		m.op = operation{}
		m.stabilize()
	}
	m.hurry()
	return &wire.Ack{}
}
