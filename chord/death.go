package chord

import (
	"time"

	"github.com/secp2psip/secp2psip/internal/wire"
)

// A death is news when two members of different owners, both near the subject on
// the ring, have signed that it does not answer them: those who look after it as
// a neighbour. The first to notice tells the nearest members on both sides, who
// find out for themselves; whoever then has two notices spreads them. One
// member's word is a reason to ask and no more, and a node's own neighbours are
// dropped on its own calls' failure alone.
//
// Two neighbours who lie together can so take a live node out of the tables of
// others, though not out of the ring, which rests on what its members see
// themselves. A neighbour that hears the subject knows better: it does not pass
// such news on, and shows them to the subject. Everybody believes the subject's
// next descriptor, which bears a higher sequence number than the notices. It
// makes one at most every ten seconds, then twenty and so on up to ten minutes.
// So such a pair can keep a node known less widely for as long as it lies next to
// it; its place there is the issuer's choice.

// doubt is what witnesses say about a member.
type doubt struct {
	seq     int64
	notices []wire.Notice // of different owners, at most two
	owners  [2][8]byte
	own     bool // this node is one of them
	since   time.Time
	due     time.Time // when it is for this node to spread the death; zero = not yet, or done
}

const (
	maxDoubts = 64
	doubtFor  = time.Minute
	nearMost  = 12              // members that may lie between a witness and its subject
	othersFor = 4 * time.Second // the other witness has to spread a death that both saw
)

// near reports whether two places lie close to one another on the ring.
func (m *Machine) near(a, b ID) bool {
	return min(m.table.order.rank(succOf(a), b), m.table.order.rank(succOf(b), a)) <= nearMost
}

// witness follows up the failure of this node's own calls to a member.
func (m *Machine) witness(who *Member) {
	if !m.gossips() || who.Desc == nil {
		return
	}
	m.note(who.ID, who.seq(), true)
	if m.news.thin || !m.near(m.ring.Self, who.ID) {
		return
	}
	n, err := m.cfg.Signer.SignNotice(wire.Notice{Subject: who.ID, Seq: who.seq(), Witness: m.ring.Self})
	if err != nil {
		m.refuse(RefusedUnsigned)
		return
	}
	if d := m.testify(&n, m.cfg.Self.Owner); d != nil {
		d.own = true
		m.verdict(who.ID, d)
	}
	m.askOthers(who.ID, &wire.Doubt{Notice: n})
}

// askOthers tells the nearest member of another owner on each side of the
// subject.
func (m *Machine) askOthers(subject ID, msg *wire.Doubt) {
	var buf [nearMost]*contact
	var tell []ID
	pick := func(near []*contact) {
		for _, c := range near {
			if c.who.Owner != m.cfg.Self.Owner && c.id() != subject && c.is(described) {
				tell = append(tell, c.id())
				return
			}
		}
	}
	pick(m.table.order.before(subject, subject, nearMost, buf[:0]))
	pick(m.table.order.after(succOf(subject), nearMost, buf[:0]))
	for i, id := range tell {
		if i == 0 || id != tell[0] {
			m.callPeer(callDoubt, id, msg)
		}
	}
}

// testify keeps a notice that has been verified, and returns what is now known;
// nil when it adds nothing.
func (m *Machine) testify(n *wire.Notice, owner [8]byte) *doubt {
	d := m.news.doubts[n.Subject]
	if d != nil && d.seq > n.Seq {
		return nil
	}
	if d == nil || d.seq < n.Seq {
		if d == nil && len(m.news.doubts) >= maxDoubts {
			m.dropDoubt()
		}
		d = &doubt{seq: n.Seq, since: m.now}
		m.news.doubts[n.Subject] = d
	}
	if len(d.notices) == 2 || len(d.notices) == 1 && d.owners[0] == owner {
		return nil
	}
	d.owners[len(d.notices)] = owner
	d.notices = append(d.notices, *n)
	return d
}

// dropDoubt forgets the oldest doubt.
func (m *Machine) dropDoubt() {
	var oldest ID
	var at time.Time
	for id, d := range m.news.doubts {
		if at.IsZero() || d.since.Before(at) || d.since.Equal(at) && id.Compare(oldest) < 0 {
			oldest, at = id, d.since
		}
	}
	delete(m.news.doubts, oldest)
}

// verdict decides who spreads a death that has its two witnesses: the one with
// the lower ID, or the other when nothing is heard of it.
func (m *Machine) verdict(id ID, d *doubt) {
	if len(d.notices) < 2 {
		return
	}
	other := d.notices[0].Witness
	if other == m.ring.Self {
		other = d.notices[1].Witness
	}
	switch {
	case d.own && m.ring.Self.Compare(other) < 0:
		m.spreadDeath(id, d)
	case d.own:
		d.due = m.now.Add(m.jitter(othersFor))
	default:
		d.due = m.now.Add(m.jitter(2 * othersFor))
	}
}

func (m *Machine) spreadDeath(id ID, d *doubt) {
	d.due = time.Time{}
	if t := m.news.told[id]; t != nil && (t.seq > d.seq || t.gone && t.reach != (ID{})) {
		return // it is back, or others have spread it
	}
	if c := m.table.get(id); c != nil && m.lives(c) {
		return
	}
	pair := [2]wire.Notice{d.notices[0], d.notices[1]}
	m.spread(item{id: id, death: &pair}, d.seq, true)
	m.bereft(id)
}

// lives reports whether this node has heard of a member lately.
func (m *Machine) lives(c *contact) bool {
	return !c.is(suspect) && m.table.age(c, m.now) < reachable
}

// bereft drops a member that is dead by others' word.
func (m *Machine) bereft(id ID) {
	if m.table.get(id) == nil {
		return
	}
	if m.table.pinned(id) {
		m.probe(id)
		return
	}
	m.table.remove(id)
}

// heardDoubt answers a Doubt.
func (m *Machine) heardDoubt(from ID, msg *wire.Doubt) wire.Message {
	if !m.gossips() {
		m.refuse(RefusedUnsupported)
		return wire.Errorf(wire.CodeUnsupported, "no gossip here")
	}
	n := &msg.Notice
	if !m.allow(from, 1) {
		m.refuse(RefusedTooMuch)
		return &wire.Ack{}
	}
	if n.Subject == m.ring.Self {
		return &wire.Ack{} // the answer refutes it
	}
	c := m.table.get(n.Subject)
	if c != nil && c.who.seq() > n.Seq {
		m.refuse(RefusedStale)
		return &wire.Ack{}
	}
	owner, ok := m.checkNotice(n)
	if !ok || c != nil && m.lives(c) {
		return &wire.Ack{}
	}
	if d := m.testify(n, owner); d != nil {
		m.verdict(n.Subject, d)
	}
	if c != nil {
		m.probe(n.Subject)
	}
	return &wire.Ack{}
}

// checkNotice reports whether a notice is by a member near its subject, and
// whose.
func (m *Machine) checkNotice(n *wire.Notice) (owner [8]byte, ok bool) {
	if n.Seq > m.overlayNow()+maxAhead.Milliseconds() {
		m.refuse(RefusedFuture)
		return owner, false
	}
	if n.Witness == m.ring.Self || n.Witness == n.Subject {
		m.refuse(RefusedWitness)
		return owner, false
	}
	w := m.table.get(n.Witness)
	if w == nil || w.who.Desc == nil || !m.near(n.Witness, n.Subject) {
		m.refuse(RefusedWitness)
		return owner, false
	}
	if !m.cfg.Verifier.VerifyNotice(n, w.who.Desc) {
		m.refuse(RefusedForged)
		return owner, false
	}
	return w.who.Owner, true
}

// heardNotices takes in the deaths of a group of news.
func (m *Machine) heardNotices(g *wire.News) {
	for k := 0; k+1 < len(g.Notices); k += 2 {
		pair := (*[2]wire.Notice)(g.Notices[k:])
		a, b := &pair[0], &pair[1]
		if a.Subject != b.Subject || a.Seq != b.Seq {
			m.refuse(RefusedUnexpected)
			continue
		}
		m.heardDeath(item{id: a.Subject, from: g.From, until: g.Until, death: pair})
	}
	if len(g.Notices)%2 == 1 {
		m.refuse(RefusedUnexpected)
	}
}

func (m *Machine) heardDeath(n item) {
	seq := n.death[0].Seq
	if t := m.news.told[n.id]; t != nil && t.gone && t.seq == seq && t.reach != (ID{}) {
		m.pass(n, seq, true, false) // known and passed on; perhaps not so far
		return
	}
	c := m.table.get(n.id)
	if c != nil && c.who.seq() > seq || n.id == m.ring.Self && seq < m.news.seq {
		m.refuse(RefusedStale)
		return
	}
	ownerA, ok := m.checkNotice(&n.death[0])
	if !ok {
		return
	}
	ownerB, ok := m.checkNotice(&n.death[1])
	if !ok {
		return
	}
	switch {
	case ownerA == ownerB:
		m.refuse(RefusedWitness)
	case n.id == m.ring.Self:
		m.refute()
	case c != nil && (m.table.pinned(n.id) || m.lives(c)):
		m.contradict(n, c)
	default:
		m.bereft(n.id)
		m.pass(n, seq, true, true)
	}
}

// contradict asks a member that this node has heard of lately whether it lives,
// and shows a neighbour what is said of it.
func (m *Machine) contradict(n item, c *contact) {
	m.probe(n.id)
	if m.lives(c) && m.table.pinned(n.id) {
		m.callPeer(callDoubt, n.id, &wire.Gossip{Groups: []wire.News{{From: n.id, Until: succOf(n.id), Notices: n.death[:]}}})
	}
}

// tickDoubts spreads deaths that are for this node to spread, and forgets
// doubts that came to nothing.
func (m *Machine) tickDoubts() {
	due := false
	for _, d := range m.news.doubts {
		due = due || !d.due.IsZero() && !d.due.After(m.now) || m.now.Sub(d.since) > doubtFor
	}
	if !due {
		return
	}
	for _, id := range sortedKeys(m.news.doubts) {
		d := m.news.doubts[id]
		if !d.due.IsZero() && !d.due.After(m.now) {
			m.spreadDeath(id, d)
		}
		if m.now.Sub(d.since) > doubtFor {
			delete(m.news.doubts, id)
		}
	}
}
