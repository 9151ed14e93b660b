package chord

import (
	"slices"

	"github.com/secp2psip/secp2psip/chord/zave"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// Who is responsible for a target is the nearest live node at it or after it. A
// member that is asked can pass over nodes, by mistake or on purpose; it cannot
// make one up that is nearer than there is, since a node answers under its own
// Node-ID only. So one word is held against others: what the asking node knows
// itself, and the successor lists of members farther back. Whoever they name
// nearer is asked, and is the right one if it answers.
const (
	confirmRivals    = 4 // nearer members asked, at most
	confirmWitnesses = 3 // lists asked for, at most
	nearKnown        = 3 // members at the target and after it that the asking node offers

	confirmTime = hedgeMost - hedgeUnknown // that they are waited for beyond hedgeUnknown
)

// claim is what one member has said of who is responsible.
type claim struct{ by, names ID }

// rival is a member nearer to the target than the one claimed responsible.
type rival struct {
	peer  wire.Peer
	state candidateState
}

// following returns members at the target and after it that the node knows, nearest
// first.
func (v *View) following(target ID) []wire.Peer {
	var buf [nearKnown]*contact
	var out []wire.Peer
	for _, c := range v.members.after(target, nearKnown, buf[:0]) {
		out = append(out, c.peer())
	}
	return out
}

// plausible reports whether the node that the member by names can be responsible:
// none lies between the target and it, neither by nor the asking node, where that
// is a member.
func (s *Search) plausible(by, names ID) bool {
	if s.client {
		return names == by || zave.Owns(by, s.target, names)
	}
	return zave.Owns(by, s.target, names) && !s.nearer(s.self, names)
}

// nearer reports whether a is, clockwise from the target, before b.
func (s *Search) nearer(a, b ID) bool { return precedes(s.target, a, b) }

// rivalOf takes a node that somebody has named for one to be asked, where it
// may be responsible.
func (s *Search) rivalOf(p wire.Peer) {
	if p.ID == s.self || len(p.Addrs) == 0 ||
		slices.ContainsFunc(s.rivals, func(r rival) bool { return r.peer.ID == p.ID }) {
		return
	}
	i, _ := slices.BinarySearchFunc(s.rivals, p.ID, func(r rival, id ID) int {
		return s.target.Distance(r.peer.ID).Compare(s.target.Distance(id))
	})
	if s.rivals = slices.Insert(s.rivals, i, rival{peer: p}); len(s.rivals) > 2*confirmRivals {
		s.rivals = s.rivals[:2*confirmRivals]
	}
}

// claimed notes whom a member has named.
func (s *Search) claimed(by ID, names wire.Peer) {
	s.claims = append(s.claims, claim{by, names.ID})
	s.rivalOf(names)
}

// confirmed reports whether two that do not rest on one another name the node.
func (s *Search) confirmed() bool {
	id := s.best().Responsible.ID
	if s.owner != nil && s.owner.Responsible.ID == id {
		return true // it has answered itself, and nobody names one that is nearer
	}
	if len(s.near) > 0 && s.near[0].ID == id {
		return true
	}
	return slices.ContainsFunc(s.claims, func(c claim) bool { return c.names == id && c.by != s.doneBy })
}

// best is the route that counts: what the closest member says, unless a nearer
// node has answered.
func (s *Search) best() *Route {
	if s.owner != nil && s.nearer(s.owner.Responsible.ID, s.done.Responsible.ID) {
		return s.owner
	}
	return s.done
}

// nextRival returns the index of the rival to be asked next; -1 for none. waits
// tells that the answer of one is still to come.
func (s *Search) nextRival() (next int, waits bool) {
	next = -1
	asked := 0
	for i := range s.rivals {
		r := &s.rivals[i]
		if r.state != fresh {
			asked++
		}
		if !s.nearer(r.peer.ID, s.best().Responsible.ID) {
			break
		}
		switch {
		case r.state == asking:
			waits = true
		case r.state == fresh && next < 0:
			next = i
		}
	}
	if asked >= confirmRivals || s.asked >= searchQueries {
		next = -1
	}
	return next, waits
}

// nextWitness is the same for members whose list is asked for: those that the
// asking node knows itself come first.
func (s *Search) nextWitness() (next int, waits bool) {
	next = -1
	for i := range s.cands {
		c := &s.cands[i]
		switch {
		case between(s.doneBy, c.peer.ID, s.target) || c.peer.ID == s.doneBy:
		case c.state == asking && c.witness:
			waits = true
		case c.listed || c.state != fresh && c.state != heardFrom:
		case next < 0 || c.from == s.self && s.cands[next].from != s.self:
			next = i
		}
	}
	if s.witnesses >= confirmWitnesses || s.asked >= searchQueries {
		next = -1
	}
	return next, waits
}

// confirm returns whom to ask next to make sure.
func (s *Search) confirm() (p wire.Peer, ask wire.Message, ok bool) {
	if s.done == nil || s.doneBy == s.self {
		return wire.Peer{}, nil, false
	}
	if i, _ := s.nextRival(); i >= 0 {
		s.rivals[i].state = asking
		s.asked++
		s.flying++
		return s.rivals[i].peer, &wire.Find{Target: s.target}, true
	}
	i, waits := s.nextWitness()
	if i < 0 || waits || s.confirmed() {
		return wire.Peer{}, nil, false
	}
	c := &s.cands[i]
	c.state, c.listed, c.witness = asking, true, true
	s.witnesses++
	s.asked++
	s.flying++
	return c.peer, s.askList(c.peer.ID), true
}

// sure reports whether nothing is left to be asked, or waited for.
func (s *Search) sure() bool {
	if i, waits := s.nextRival(); i >= 0 || waits {
		return false
	}
	if s.confirmed() {
		return true
	}
	i, waits := s.nextWitness()
	return i < 0 && !waits
}

// doubtful reports whether what has been said is not sure and somebody who may
// contradict it is being asked: the nearest of the rivals, or a witness, for whom
// from is zero.
func (s *Search) doubtful() (from ID, waits bool) {
	if _, waits := s.nextRival(); waits {
		i := slices.IndexFunc(s.rivals, func(r rival) bool { return r.state == asking })
		return s.rivals[i].peer.ID, true
	}
	_, witness := s.nextWitness()
	return ID{}, witness && !s.confirmed()
}

// rivalAnswered takes in what a rival said, or its silence. One that answers
// lives, and is nearer.
func (s *Search) rivalAnswered(i int, msg wire.Message) HopOutcome {
	r := &s.rivals[i]
	found, ok := msg.(*wire.Found)
	if !ok {
		r.state = failed
		return HopFailed
	}
	r.state = heardFrom
	s.refuse(RefusedPassedOver)
	s.owner = &Route{Responsible: r.peer}
	if found.Done && len(found.Peers) > 0 && found.Peers[0].ID == r.peer.ID {
		s.owner.Successors = ordered(found.Peers)
	} else {
		s.owner.Successors = ordered(append([]wire.Peer{r.peer, s.done.Responsible}, s.done.Successors...))
	}
	return HopDone
}

// hold gives the search what the asking node itself knows at the target and
// after it, nearest first.
func (s *Search) hold(near []wire.Peer) {
	s.near = near
	for _, p := range near {
		s.rivalOf(p)
	}
}
