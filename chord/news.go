package chord

import (
	"time"

	"github.com/secp2psip/secp2psip/internal/wire"
)

// News of members travel down a tree over the ring. A node that has news for a
// part of the circle hands it to its fingers: the first member, and then in each
// doubled distance the first one that it knows. Each finger gets the news for
// the part from itself up to the next finger, and does likewise. Whoever lies in
// the part is reached: either it is a finger, or it lies between two, and the
// first member of a node's part is its successor. So each member gets news about
// once (D1HT: Monnerat and Amorim, "An effective single-hop distributed hash
// table with high lookup performance and low traffic overhead", CCPE 2014; the
// broadcast over fingers is El-Ansary's, IPTPS 2003). Fingers are by distance,
// not by rank: ranks shift with every member that comes or goes between, and
// with them the links to keep warm.
//
// News wait for others that take the same way; the longer, the closer the node
// is to its budget. Where that does not suffice, a node spreads word of itself
// over a part of the circle only, which begins at a place that its ID decides.
// So each member knows another spread of the ring, and all are known equally
// well. Members that are then not spread to find out about deaths by time:
// descriptors live for half a session instead of many.
type news struct {
	self     *Member // this node's own descriptor
	seq      int64   // of it
	again    time.Time
	refuted  time.Time // when this node last contradicted others
	out      []item
	spare    []item // memory for out
	flushAt  time.Time
	told     map[ID]*telling
	toldIDs  []ID // the oldest first
	doubts   map[ID]*doubt
	pending  []pending
	buckets  map[ID]*bucket
	all      bucket
	upkeep   meter // the ring's
	spending meter // news sent
	received meter // news received
	stay     sessions
	share    int // of the circle that news of this node go to, in 1024ths
	thin     bool
	adapt    time.Time
	meet     time.Time // when one of the list that has not spoken is asked
	sweep    time.Time
	snap     snapshot
	compare  time.Time
	inSync   int // rounds in a row without a difference
	back     int // dead members that came back since backAt
	backAt   time.Time
}

// item is news on its way to the members from from on and before until,
// clockwise; to all others where until is this node.
type item struct {
	id          ID
	from, until ID
	who         *Member // nil for a death
	death       *[2]wire.Notice
	begin, end  ID // the distances of from and until, once they are passed on
}

// telling is what was heard of a member of late, and how far it was passed on.
type telling struct {
	seq   int64
	gone  bool  // a death or a goodbye: nothing older brings it back
	reach ID    // distance from this node up to which it was passed on; the highest ID = all round
	relay uint8 // times it was passed on towards a part of the circle that lies elsewhere
	retry uint8 // times a finger did not answer
	at    time.Time
}

// The bounds of what is kept of news.
const (
	maxItems   = 512
	maxTold    = 512
	tellFor    = 10 * time.Minute
	freshNews  = 5 * time.Minute // older news are taken in but not passed on
	maxAhead   = 5 * time.Minute // of this node's clock
	maxRelays  = 2
	maxRetries = 2
	fullShare  = 1024
	leastShare = 4
	newsDelay  = 250 * time.Millisecond
	mostDelay  = 15 * time.Second
	perGossip  = wire.MaxNews // descriptors and notices in one message
)

var farthest = ID{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// gossips reports whether the node takes part in the spreading of descriptors.
func (m *Machine) gossips() bool { return m.cfg.Verifier != nil && m.cfg.Signer != nil }

// overlayNow is the overlay's time, in ms.
func (m *Machine) overlayNow() int64 {
	at := m.now
	if m.cfg.Offset != nil {
		at = at.Add(m.cfg.Offset())
	}
	return at.UnixMilli()
}

// until is the distance up to which an item goes.
func (m *Machine) reach(until ID) ID {
	if until == m.ring.Self {
		return farthest
	}
	return m.ring.Self.Distance(until)
}

// begin is the distance from which on an item goes. A part of the circle that
// lies round this node begins here.
func (m *Machine) begin(from, until ID) ID {
	a := m.ring.Self.Distance(from)
	if a.Compare(m.reach(until)) >= 0 {
		return ID{}
	}
	return a
}

// queue puts news among those to be passed on.
func (m *Machine) queue(n item) {
	if len(m.news.out) >= maxItems {
		m.refuse(RefusedBusy)
		return
	}
	m.news.out = append(m.news.out, n)
	if m.news.flushAt.IsZero() {
		m.news.flushAt = m.now.Add(m.jitter(m.newsDelay()))
	}
}

// newsDelay is how long news wait for others: shorter than anybody notices
// while traffic is far below the budget, and up to a twenty-fifth of a session.
func (m *Machine) newsDelay() time.Duration {
	most := min(max(m.news.stay.mean()/25, time.Second), mostDelay)
	use := (m.newsRate()/m.newsBudget() - 0.25) / 0.75
	return newsDelay + time.Duration(min(max(use, 0), 1)*float64(most))
}

// newsRate is what news cost this node, in bytes a second. What it sends and
// what it gets are the same in the mean over all nodes.
func (m *Machine) newsRate() float64 {
	return (m.news.spending.rate(m.now) + m.news.received.rate(m.now)) / 2
}

// descriptor is the size of one, in bytes, near enough.
const descriptor = 130

// lasting is what news would cost for good, in bytes a second, were every member's
// coming and going told to this node: by how many there are and how long they
// stay, whatever is told at this moment.
func (m *Machine) lasting() float64 {
	members := max(m.table.len(), m.crowd())
	return 2 * float64(members) * cost(descriptor) / m.news.stay.mean().Seconds()
}

// newsBudget is what remains for news when the ring's upkeep is paid for, and
// the descriptors that each newcomer gets.
func (m *Machine) newsBudget() float64 {
	total := float64(m.cfg.Budget)
	snapshots := float64(m.table.len()) * descriptor / m.news.stay.mean().Seconds()
	return max(total-m.news.upkeep.rate(m.now)-snapshots, total/3)
}

// finger is a member to pass news on to.
type finger struct {
	id   ID
	dist ID
}

// fingers returns the members that news go to, nearest first.
func (m *Machine) newsFingers() []finger {
	var out []finger
	self := m.ring.Self
	at := succOf(self)
	for range idBits {
		var buf [1]*contact
		next := m.table.order.after(at, 1, buf[:0])
		if len(next) == 0 {
			break
		}
		d := self.Distance(next[0].id())
		if len(out) > 0 && d.Compare(out[len(out)-1].dist) <= 0 {
			break // round the circle
		}
		out = append(out, finger{next[0].id(), d})
		k := bitLen(d)
		if k >= idBits {
			break
		}
		at = self.Add(bitID(k))
	}
	return out
}

// bitLen returns the number of bits of d without leading zeros.
func bitLen(d ID) int {
	for i, b := range d {
		for k := 7; k >= 0; k-- {
			if b>>k&1 == 1 {
				return 8*(len(d)-1-i) + k + 1
			}
		}
	}
	return 0
}

// flush passes on what waits.
func (m *Machine) flush() {
	out := m.news.out
	m.news.out, m.news.flushAt = m.news.spare[:0], time.Time{}
	if len(out) == 0 {
		return
	}
	fingers := m.newsFingers()
	for i := range out {
		out[i].begin, out[i].end = m.begin(out[i].from, out[i].until), m.reach(out[i].until)
	}
	for i, f := range fingers {
		end, endID := farthest, m.ring.Self
		if i+1 < len(fingers) {
			end, endID = fingers[i+1].dist, fingers[i+1].id
		}
		m.tell(f, end, endID, out)
	}
	clear(out)
	m.news.spare = out
}

// tell gives a finger its part of the news: what is for members from the finger
// on and before end.
func (m *Machine) tell(f finger, end, endID ID, out []item) {
	ours := func(n *item) bool { return end.Compare(n.begin) > 0 && f.dist.Compare(n.end) < 0 }
	descs, notices := 0, 0
	for i := range out {
		switch n := &out[i]; {
		case !ours(n):
		case n.who != nil:
			descs = min(descs+1, perGossip)
		default:
			notices = min(notices+len(n.death), perGossip)
		}
	}
	msg := &wire.Gossip{}
	count := 0
	send := func() {
		if count > 0 {
			m.callPeer(callGossip, f.id, msg)
			msg, count = &wire.Gossip{}, 0
		}
	}
	for i := range out {
		n := &out[i]
		if !ours(n) {
			continue
		}
		from, until := f.id, endID
		if f.dist.Compare(n.begin) < 0 {
			from = n.from // the finger lies before the part and relays
		}
		if n.end.Compare(end) <= 0 {
			until = n.until
		}
		g := groupOf(msg, from, until)
		if len(g.Descs)+len(g.Notices) == 0 && from == f.id { // most go with the first
			g.Descs, g.Notices = make([]wire.Descriptor, 0, descs), make([]wire.Notice, 0, notices)
		}
		if n.who != nil {
			g.Descs = append(g.Descs, *n.who.Desc)
			count++
		} else {
			g.Notices = append(g.Notices, n.death[:]...)
			count += len(n.death)
		}
		if count >= perGossip-1 {
			send()
		}
	}
	send()
}

// groupOf returns the group of a message for a part of the circle.
func groupOf(msg *wire.Gossip, from, until ID) *wire.News {
	for i := range msg.Groups {
		if g := &msg.Groups[i]; g.From == from && g.Until == until {
			return g
		}
	}
	msg.Groups = append(msg.Groups, wire.News{From: from, Until: until})
	return &msg.Groups[len(msg.Groups)-1]
}

// callPeer calls a member of the table.
func (m *Machine) callPeer(kind callKind, id ID, msg wire.Message) bool {
	c := m.table.get(id)
	return c != nil && m.call(kind, c.peer(), msg)
}

// gossiped takes in how a finger answered. Where it did not, others get what was
// for it and for those behind it.
func (m *Machine) gossiped(c *call, how answer) {
	if how == answered {
		return
	}
	m.suspected(c.peer.ID)
	msg, ok := c.msg.(*wire.Gossip)
	if !ok || m.phase != PhaseJoined {
		return
	}
	for i := range msg.Groups {
		g := &msg.Groups[i]
		for k := range g.Descs {
			if who, v := m.cfg.Verifier.Verify(&g.Descs[k]); v == VerdictValid && who.ID != c.peer.ID {
				m.requeue(item{id: who.ID, from: g.From, until: g.Until, who: who})
			}
		}
		for k := 0; k+1 < len(g.Notices); k += 2 {
			pair := [2]wire.Notice{g.Notices[k], g.Notices[k+1]}
			m.requeue(item{id: pair[0].Subject, from: g.From, until: g.Until, death: &pair})
		}
	}
}

func (m *Machine) requeue(n item) {
	if t := m.news.told[n.id]; t != nil && t.retry < maxRetries {
		t.retry++
		m.queue(n)
	}
}

// pass decides whether news that came for a part of the circle still have to be
// passed on, and does so. isNew says that this node did not know.
func (m *Machine) pass(n item, seq int64, gone, isNew bool) {
	t := m.news.told[n.id]
	if t == nil || t.seq < seq || t.seq == seq && gone && !t.gone {
		t = m.note(n.id, seq, gone)
	} else if t.seq > seq || t.gone && !gone {
		return
	}
	if m.overlayNow()-seq > freshNews.Milliseconds() && !gone || gone && !isNew && t.reach == (ID{}) {
		return
	}
	a, b := m.begin(n.from, n.until), m.reach(n.until)
	if a != (ID{}) {
		if t.relay++; t.relay <= maxRelays {
			m.queue(n)
		}
		return
	}
	if b.Compare(t.reach) <= 0 {
		return
	}
	n.from = m.ring.Self.Add(t.reach)
	t.reach = b
	m.queue(n)
}

// note keeps what was heard of a member last.
func (m *Machine) note(id ID, seq int64, gone bool) *telling {
	t := m.news.told[id]
	if t == nil {
		if len(m.news.toldIDs) >= maxTold {
			delete(m.news.told, m.news.toldIDs[0])
			m.news.toldIDs = m.news.toldIDs[1:]
		}
		m.news.toldIDs = append(m.news.toldIDs, id)
		t = new(telling)
		m.news.told[id] = t
	}
	*t = telling{seq: seq, gone: gone, at: m.now}
	return t
}
