package simnet

import "time"

// link is what one end of a connection knows of it.
type link struct {
	ready  int64 // when its handshake is through
	used   int64
	gen    uint32 // the run of the other end that it was made with
	dialed bool   // by this end, which keeps it alive
}

// The product's bound of a node's connections and the silence after which one
// counts as dead (internal/link, Limits).
const (
	maxLinks = 512
	linkIdle = 45 * time.Second
)

// connect returns when a link from a to b, which both live, can be used, and
// whether it had to be made.
func (s *shard) connect(a, b *node) (ready int64, cold bool) {
	if l := a.links[b.num]; l != nil && l.gen == b.gen {
		s.touch(l, b)
		return l.ready, s.now < l.ready
	}
	out, sends, _ := s.travelBy(a, a, b)
	back, sends2, _ := s.travelBy(a, b, a)
	s.stats.handshake(s.measuring(), clientBytes+serverBytes+(sends+sends2-2)*initialBytes, true)
	l := &link{ready: s.now + int64(out+back), used: s.now, gen: b.gen, dialed: true}
	s.place(a, b, l)
	return l.ready, true
}

// accept notes at b that a, in a run of its, has called.
func (s *shard) accept(b, a *node, gen uint32) {
	if l := b.links[a.num]; l != nil && l.gen == gen {
		s.touch(l, a)
		return
	}
	s.place(b, a, &link{ready: s.now, used: s.now, gen: gen})
}

// place notes a link at one of its ends. The one unused for longest gives way,
// and its other end hears of it.
func (s *shard) place(a, b *node, l *link) {
	if old := a.links[b.num]; old != nil {
		s.touch(old, b)
	} else if len(a.links) >= maxLinks {
		oldest := nobody
		for num, l := range a.links {
			if oldest == nobody || l.used < a.links[oldest].used || l.used == a.links[oldest].used && num < oldest {
				oldest = num
			}
		}
		s.hangUp(a, s.nodes[oldest])
	}
	if a.links == nil {
		a.links = make(map[int32]*link)
	}
	a.links[b.num] = l
}

// hangUp closes a link of a with b.
func (s *shard) hangUp(a, b *node) {
	l := a.links[b.num]
	s.touch(l, b)
	delete(a.links, b.num)
	e := event{at: s.now + int64(s.oneWay(a, b)), seq: a.order(), kind: evClose, ref: b.num, gen: a.gen, from: a.num}
	if b.shard == a.shard {
		s.queue.push(e)
		return
	}
	s.out = append(s.out, transit{event: e})
}

// closed lets a node know that another one has closed their link.
func (s *shard) closed(e event) {
	n, from := s.nodes[e.ref], s.nodes[e.from]
	if l := n.links[e.from]; l != nil && l.gen == e.gen && l.used < s.now {
		s.touch(l, from)
		delete(n.links, e.from)
	}
}

// touch notes that a link with other is in use, and counts the keep-alives since
// it last was.
func (s *shard) touch(l *link, other *node) {
	since, until := max(l.used, s.from), min(s.now, s.to)
	if l.gen != other.gen {
		until = min(until, other.diedAt+int64(linkIdle))
	}
	if l.dialed && s.from > 0 && until > since {
		s.stats.pingBytes += pingBytes * uint64((until-since)/int64(keepAlive))
	}
	l.used = s.now
}

// unlink ends a dead node's links. The other ends find out by themselves.
func (s *shard) unlink(n *node) {
	for num, l := range n.links {
		s.touch(l, s.nodes[num])
	}
	n.links = nil
}

// chill cuts a live node's links, at both ends.
func (s *Sim) chill(n *node) {
	for num, l := range n.links {
		other := s.nodes[num]
		s.of(n).touch(l, other)
		if back := other.links[n.num]; back != nil {
			s.of(other).touch(back, n)
			delete(other.links, n.num)
		}
	}
	n.links = nil
}

// settleLinks counts the keep-alives that are not counted yet.
func (s *Sim) settleLinks() {
	for _, n := range s.nodes {
		for num, l := range n.links {
			s.of(n).touch(l, s.nodes[num])
		}
	}
}
