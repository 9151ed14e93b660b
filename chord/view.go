package chord

import (
	"time"

	"github.com/secp2psip/secp2psip/chord/zave"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// View is what a node knew of the ring at one moment. It never changes and may
// be shared.
type View struct {
	Self     wire.Peer
	Pred     wire.Peer   // Self while the node is alone
	PredLive bool        // the predecessor is not known to be dead
	Succ     []wire.Peer // those that have an address; suspect ones last
	Phase    Phase
	Settled  bool // the node may speak for its part of the circle
	Small    bool // small-ring mode: the node knows all members
	Complete bool // the table holds the whole ring, as far as the node can tell
	Thin     bool // the table is a sample of the ring, and is meant to be
	Ideal    bool // nothing has changed for some rounds
	Dead     int  // members that died and are asked now and then

	members members
	bound   ID   // the node keeps records of what lies after it, up to itself; see reaches
	all     bool // and of everything, since it knows so few members
	gone    bool // for a plan only: the node is about to leave
}

// View returns a snapshot.
func (m *Machine) View() *View {
	v := &View{
		Self:     m.cfg.Self,
		Pred:     m.peerOf(m.ring.Pred),
		PredLive: !m.predDead,
		Succ:     m.reachable(),
		Phase:    m.phase,
		Settled:  m.settledNow(),
		Small:    m.ring.Small() && m.phase != PhaseClient,
		Complete: (m.ring.Small() || m.explore.complete) && m.phase != PhaseClient,
		Thin:     m.news.thin,
		Ideal:    m.ideal(),
		Dead:     len(m.dead.byID),
		members:  m.table.order.snapshot(),
	}
	v.reckon()
	return v
}

// Members returns how many members the node knows, itself not counted.
func (v *View) Members() int { return v.members.len() }

// Peers returns the known members in the order of their IDs, itself not
// counted.
func (v *View) Peers() []wire.Peer {
	out := make([]wire.Peer, 0, v.members.len())
	for _, s := range v.members.slots {
		for i := range s.chunk.n {
			out = append(out, s.chunk.c[i].peer())
		}
	}
	return out
}

// Descriptors returns what the known members have signed about themselves, in
// the order of their IDs. They are not to be changed.
func (v *View) Descriptors() []*wire.Descriptor {
	out := make([]*wire.Descriptor, 0, v.members.len())
	for _, s := range v.members.slots {
		for i := range s.chunk.n {
			if d := s.chunk.c[i].who.Desc; d != nil {
				out = append(out, d)
			}
		}
	}
	return out
}

// Responsible reports whether pos lies in the node's own interval.
func (v *View) Responsible(pos ID) bool {
	return v.Settled && !v.gone && zave.Owns(v.Pred.ID, pos, v.Self.ID)
}

// replicaReach is how many members may lie between a position and a node that
// keeps records of it: the replica goes to the first successor of another
// owner, an owner has at most three nodes, and the ring may be changing.
const replicaReach = 5

// reckon finds the member after which the node's range begins.
func (v *View) reckon() {
	var buf [replicaReach + 1]*contact
	before := v.members.before(v.Self.ID, v.Self.ID, len(buf), buf[:0])
	if v.all = len(before) < len(buf); !v.all {
		v.bound = before[replicaReach].id()
	}
}

// InRange reports whether the node keeps records of pos: it is responsible, or
// one of the next few, or the ring is small.
func (v *View) InRange(pos ID) bool { return !v.gone && v.reaches(pos) }

// reaches is InRange, for a node that is about to leave, too.
func (v *View) reaches(pos ID) bool {
	return v.Small || v.Responsible(pos) || v.all || zave.Owns(v.bound, pos, v.Self.ID)
}

// Owner returns the member that is responsible for pos as far as this node can
// tell from its table, which may be the node itself.
func (v *View) Owner(pos ID) wire.Peer {
	if v.Responsible(pos) {
		return v.Self
	}
	var buf [1]*contact
	next := v.members.after(pos, 1, buf[:0])
	if len(next) == 0 || !v.gone && precedes(pos, v.Self.ID, next[0].id()) {
		return v.Self
	}
	return next[0].peer()
}

// Wait is how long a member may take to answer, as far as has been measured.
func (v *View) Wait(id ID) time.Duration {
	_, wait := v.reach(wire.Peer{ID: id})
	return wait
}

// Member returns a member as the node knows it, and what that has signed about
// itself, nil where the node has not got it.
func (v *View) Member(id ID) (p wire.Peer, desc *wire.Descriptor, ok bool) {
	known := v.members.find(id)
	if known == nil {
		return p, nil, false
	}
	return known.peer(), known.who.Desc, true
}

// chain returns the first k nodes at pos and clockwise of it, this one
// included.
func (v *View) chain(pos ID, k int) []wire.Peer {
	var buf [16]*contact
	out := make([]wire.Peer, 0, k+1)
	self := false
	for _, c := range v.members.after(pos, k, buf[:0]) {
		if !self && (len(out) == 0 && pos == v.Self.ID || precedes(pos, v.Self.ID, c.id())) {
			self = true
			out = append(out, v.Self)
		}
		out = append(out, c.peer())
	}
	if !self && len(out) < k {
		out = append(out, v.Self)
	}
	return out[:min(k, len(out))]
}

// precedes reports whether a comes before b on the way clockwise from pos.
func precedes(pos, a, b ID) bool { return pos.Distance(a).Compare(pos.Distance(b)) < 0 }
