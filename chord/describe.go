package chord

import (
	"time"

	"github.com/secp2psip/secp2psip/chord/zave"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// The bounds of how long a descriptor lives.
const (
	mostLifetime  = 12 * time.Hour
	leastLifetime = time.Minute
	lifeSlack     = 5 * time.Second // on the way
	refuteEvery   = 10 * time.Second
	reachable     = 10 * time.Second // heard of so lately at first hand, a member is alive
)

// lifetime returns how long this node's descriptor is to live: so long that few
// outlive it, and where deaths are not spread, so short that most entries live.
func (m *Machine) lifetime() time.Duration {
	d := 4 * m.news.stay.mean()
	if m.news.thin {
		d = m.news.stay.mean() / 2
	}
	return min(max(d, leastLifetime), mostLifetime)
}

// announce makes a new descriptor of this node and spreads it.
func (m *Machine) announce() {
	if !m.gossips() {
		return
	}
	life := m.lifetime()
	m.news.again = m.now.Add(m.jitter(life * 3 / 4))
	who := m.describe(wire.NodeHere, life)
	if who == nil {
		return
	}
	m.spread(item{id: who.ID, who: who}, who.seq(), false)
}

// describe signs a new descriptor of this node.
func (m *Machine) describe(state wire.NodeState, life time.Duration) *Member {
	m.news.seq = max(m.overlayNow(), m.news.seq+1)
	d, err := m.cfg.Signer.SignDescriptor(wire.Descriptor{
		ID: m.cfg.Self.ID, Addrs: wire.FitAddrs(m.cfg.Self.Addrs), Seq: m.news.seq, State: state, Lifetime: uint32(life / time.Second),
	})
	if err != nil {
		m.refuse(RefusedUnsigned)
		return nil
	}
	m.news.self = NewMember(&d, m.cfg.Self.Owner)
	return m.news.self
}

// spread begins to pass on news of this node's own: to all, or to the part of
// the circle that the subject's ID names.
func (m *Machine) spread(n item, seq int64, gone bool) {
	self := m.ring.Self
	t := m.note(n.id, seq, gone)
	t.reach = farthest
	n.from, n.until = self, self
	if m.news.share >= fullShare {
		m.queue(n)
		return
	}
	start := spreadHash(n.id)
	end := start.Add(scale(m.news.share))
	n.from, n.until = start, end
	if a, b := self.Distance(start), self.Distance(end); a.Compare(b) < 0 {
		m.queue(n)
		return
	}
	before := n // the part lies round this node
	n.from = self
	m.queue(n)
	before.until = self
	m.queue(before)
}

// scale returns the length of a share of the circle, in 1024ths below 1024.
func scale(share int) ID {
	var d ID
	d[0], d[1] = byte(share>>2), byte(share<<6)
	return d
}

// offered takes in a descriptor that from has sent. It returns the member it
// describes, and whether that was news; nil for what is refused or has to wait.
func (m *Machine) offered(d *wire.Descriptor, from ID, n item) (who *Member, isNew bool) {
	now, c := m.overlayNow(), m.table.get(d.ID)
	switch {
	case d.Seq > now+maxAhead.Milliseconds():
		m.refuse(RefusedFuture)
		return nil, false
	case d.ID == m.ring.Self:
		m.echo(d)
		return nil, false
	case expired(d, now, maxAhead), m.stale(d, c):
		m.refuse(RefusedStale)
		return nil, false
	}
	if c != nil && c.who.Desc != nil && c.who.Desc.Seq == d.Seq && c.who.Desc.Signature == d.Signature {
		return c.who, false // known and verified already
	}
	who, verdict := m.cfg.Verifier.Verify(d)
	switch verdict {
	case VerdictForged:
		m.refuse(RefusedForged)
		return nil, false
	case VerdictUnknown:
		m.park(d, from, n)
		return nil, false
	}
	if c != nil && c.who.Desc != nil && c.who.Desc.Seq == d.Seq && m.cfg.Collision != nil {
		m.cfg.Collision(c.who.Desc, who.Desc) // the signatures are not the same, see above
	}
	return who, m.accept(who)
}

// expired reports whether a descriptor has outlived itself by more than slack.
func expired(d *wire.Descriptor, now int64, slack time.Duration) bool {
	return outlives(d.Seq, time.Duration(d.Lifetime)*time.Second, now, slack)
}

func outlives(seq int64, life time.Duration, now int64, slack time.Duration) bool {
	return seq+(life+life/8+lifeSlack+slack).Milliseconds() < now
}

// stale reports whether something newer is known of a member, which is c in the
// table, nil where it is not there.
func (m *Machine) stale(d *wire.Descriptor, c *contact) bool {
	if t := m.news.told[d.ID]; t != nil && (t.seq > d.Seq || t.seq == d.Seq && t.gone && d.State == wire.NodeHere) {
		return true
	}
	return c != nil && c.who.seq() > d.Seq
}

// accept takes in a verified descriptor.
func (m *Machine) accept(who *Member) (isNew bool) {
	d := who.Desc
	c := m.table.get(d.ID)
	if c != nil && c.who.seq() == d.Seq {
		return false
	}
	if d.State == wire.NodeLeaving {
		return m.departing(who, c)
	}
	if g := m.dead.byID[d.ID]; g != nil {
		if g.since.UnixMilli() > d.Seq+maxAhead.Milliseconds() {
			return false // it died after that
		}
		g.next, g.wait = m.now, graveFirst // it may be back; ask
		m.dead.settle()
	}
	if m.refuted.has(d.ID, m.now) || !m.table.learn(who) {
		return c == nil
	}
	if !m.ring.Succ.Contains(d.ID) && (m.ring.Small() || !m.op.active && zave.Candidate(&m.ring, d.ID)) {
		m.probe(d.ID)
	}
	return true
}

// departing takes in a goodbye. A neighbour is asked: its goodbye comes by a
// message of its own.
func (m *Machine) departing(who *Member, c *contact) bool {
	if c == nil {
		t := m.news.told[who.ID]
		return t == nil || !t.gone
	}
	if m.table.pinned(who.ID) {
		m.probe(who.ID)
		return true
	}
	m.table.remove(who.ID)
	return true
}

// echo takes in a descriptor of this node itself. One that is newer than the
// node knows is from an earlier run, or forged; either way a newer one settles
// it. A goodbye of an earlier run is contradicted.
func (m *Machine) echo(d *wire.Descriptor) {
	if m.news.self == nil || d.Seq < m.news.seq || d.Seq == m.news.seq && d.Signature == m.news.self.Desc.Signature {
		return
	}
	if _, v := m.cfg.Verifier.Verify(d); v != VerdictValid {
		m.refuse(RefusedForged)
		return
	}
	m.news.seq = max(m.news.seq, d.Seq)
	m.refute()
}

// refute tells everybody that this node lives, not too often.
func (m *Machine) refute() {
	if m.phase != PhaseJoined || m.now.Sub(m.news.refuted) < refuteEvery && !m.news.refuted.IsZero() {
		return
	}
	m.news.refuted = m.now
	m.announce()
}

// heardGossip answers a Gossip.
func (m *Machine) heardGossip(from ID, msg *wire.Gossip) wire.Message {
	if !m.gossips() {
		m.refuse(RefusedUnsupported)
		return wire.Errorf(wire.CodeUnsupported, "no gossip here")
	}
	m.news.received.add(m.now, cost(gossipSize(msg)))
	for i := range msg.Groups {
		g := &msg.Groups[i]
		if !m.allow(from, len(g.Descs)+len(g.Notices)) {
			m.refuse(RefusedTooMuch)
			break
		}
		for k := range g.Descs {
			d := &g.Descs[k]
			n := item{id: d.ID, from: g.From, until: g.Until}
			if who, isNew := m.offered(d, from, n); who != nil {
				n.who = who
				m.pass(n, d.Seq, d.State == wire.NodeLeaving, isNew)
			}
		}
		m.heardNotices(g)
	}
	return &wire.Ack{}
}

// bucket bounds what one member makes this node verify and pass on.
type bucket struct {
	left float64
	at   time.Time
}

// The limits of what one member may send, and all together.
const (
	perSender  = 16  // descriptors and notices a second
	senderMost = 512 // at once
	perNode    = 128
	nodeMost   = 4096
	maxBuckets = 128
)

func (b *bucket) take(now time.Time, n int, rate, most float64) bool {
	if b.at.IsZero() {
		b.left = most
	} else {
		b.left = min(b.left+rate*now.Sub(b.at).Seconds(), most)
	}
	b.at = now
	if b.left < float64(n) {
		return false
	}
	b.left -= float64(n)
	return true
}

// allow reports whether a sender may have so many items looked at.
func (m *Machine) allow(from ID, n int) bool {
	b := m.news.buckets[from]
	if b == nil {
		if len(m.news.buckets) >= maxBuckets {
			m.dropBucket()
		}
		b = &bucket{}
		m.news.buckets[from] = b
	}
	return b.take(m.now, n, perSender, senderMost) && m.news.all.take(m.now, n, perNode, nodeMost)
}

// dropBucket forgets the sender of which nothing was heard for longest.
func (m *Machine) dropBucket() {
	var oldest ID
	var at time.Time
	for id, b := range m.news.buckets {
		if at.IsZero() || b.at.Before(at) || b.at.Equal(at) && id.Compare(oldest) < 0 {
			oldest, at = id, b.at
		}
	}
	delete(m.news.buckets, oldest)
}
