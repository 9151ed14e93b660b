package chord

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"slices"
	"time"

	"github.com/secp2psip/secp2psip/chord/zave"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// snapshot is how a newcomer gets its table: a spread of all quarters of the
// circle at once, each from another neighbour, then the rest piece by piece.
type snapshot struct {
	parts   []arc // still to be asked for
	flying  int
	next    time.Time
	first   bool // the quarters are under way
	known   int  // members that the neighbours know of
	shares  []int
	stays   []int
	done    bool
	turn    int
	serving bucket
}

// arc is a part of the circle.
type arc struct {
	from, to ID
	most     uint16
}

const (
	quarterMost   = 160              // descriptors of each quarter at first
	pieceMost     = wire.MaxMembers  // of a piece later
	piecePlan     = 300              // expected in a piece
	restWithin    = 45 * time.Second // all pieces are asked for
	thinMost      = 8                // of a quarter where the budget is short
	servePerSec   = 400              // descriptors that a node gives in snapshots
	serveMost     = 2 * MaxMembers
	compareEvery  = 15 * time.Second
	compareSoon   = 2 * time.Second  // until two in a row have brought nothing
	compareWidth  = 128              // members compared at a time
	compareDigits = 32               // parts of them
	compareMost   = 8 * compareWidth // members hashed for one answer; where there are more, all count as different
	inSyncEnough  = 2
)

// startSnapshot begins to fill a newcomer's table.
func (m *Machine) startSnapshot() {
	s := &m.news.snap
	*s = snapshot{first: true, next: m.now, serving: s.serving}
	var at ID
	binary.BigEndian.PutUint64(at[:], m.rng.Uint64())
	for range 4 {
		to := at.Add(bitID(idBits - 2))
		s.parts = append(s.parts, arc{from: at, to: to, most: quarterMost})
		at = to
	}
}

// tickSnapshot asks for what is due.
func (m *Machine) tickSnapshot() {
	s := &m.news.snap
	if s.done || len(s.parts) == 0 || s.next.After(m.now) {
		return
	}
	for len(s.parts) > 0 {
		id, ok := m.giver()
		if !ok {
			s.next = m.now.Add(m.cfg.Timing.Every)
			return
		}
		p := s.parts[0]
		if !m.callPeer(callMembers, id, &wire.GetMembers{From: p.from, To: p.to, Most: p.most}) {
			break
		}
		s.parts = s.parts[1:]
		s.flying++
		if !s.first {
			break
		}
	}
	s.next = m.now.Add(restWithin / time.Duration(1+s.known/piecePlan))
}

// giver returns the neighbour to ask next. Links to neighbours are warm.
func (m *Machine) giver() (ID, bool) {
	ids := m.ring.Succ.IDs()
	for range ids {
		id := ids[m.news.snap.turn%len(ids)]
		m.news.snap.turn++
		if c := m.table.get(id); c != nil && !c.is(suspect) && id != m.ring.Self {
			return id, true
		}
	}
	return ID{}, false
}

// serveMembers answers GetMembers.
func (m *Machine) serveMembers(msg *wire.GetMembers) wire.Message {
	if !m.gossips() {
		m.refuse(RefusedUnsupported)
		return wire.Errorf(wire.CodeUnsupported, "no gossip here")
	}
	most := int(msg.Most)
	if m.news.thin {
		most = min(most, thinMost)
	} else if m.newsRate() > m.newsBudget() {
		most = min(most, 4*thinMost)
	}
	if !m.news.snap.serving.take(m.now, most, servePerSec, serveMost) {
		m.refuse(RefusedTooMuch)
		most = min(most, thinMost)
	}
	out := &wire.Members{Share: uint16(m.news.share), Session: uint32(m.news.stay.mean() / time.Second)}
	in := m.within(msg.From, msg.To)
	out.Known = uint32(len(in))
	if len(msg.Digests) > 0 && len(in) <= compareMost {
		in = differing(in, msg)
	}
	if len(in) == 0 {
		return out
	}
	for k, first, count := 0, m.rng.IntN(len(in)), min(most, len(in)); k < count; k++ {
		out.Descs = append(out.Descs, *in[(first+k*len(in)/count)%len(in)].Desc)
	}
	return out
}

// within returns the members with a descriptor from from on and before to, this
// node included.
func (m *Machine) within(from, to ID) []*Member {
	var out []*Member
	has := func(id ID) bool { return id == from || from == to || between(from, id, to) }
	order := &m.table.order
	at := order.wrap(order.search(from))
	for range order.len() {
		c := order.get(at)
		if !has(c.id()) {
			break
		}
		if at = order.next(at); c.is(described) {
			out = append(out, c.who)
		}
	}
	if m.news.self != nil && has(m.ring.Self) {
		out = append(out, m.news.self)
	}
	return out
}

// digits returns the digests of so many parts of a range.
func digits(from, to ID, n int, in []*Member) []byte {
	out := make([]byte, 4*n)
	for _, who := range in {
		k := 4 * partIndex(from, to, who.ID, n)
		for i, b := range memberDigest(who) {
			out[k+i] ^= b
		}
	}
	return out
}

// memberDigest is the first four bytes of SHA-256 over ID, seq and the first
// eight bytes of the signature: of two descriptors with one seq, both get round,
// so that somebody sees that there are two.
func memberDigest(who *Member) (d [4]byte) {
	var b [32]byte
	copy(b[:], who.ID[:])
	binary.BigEndian.PutUint64(b[16:], uint64(who.seq()))
	if who.Desc != nil {
		copy(b[24:], who.Desc.Signature[:])
	}
	sum := sha256.Sum256(b[:])
	copy(d[:], sum[:])
	return d
}

// partIndex returns in which of n equal parts of a range an ID lies: ⌊o·n/s⌋, o
// and s being the first eight bytes of the distances of the ID and of the end
// from the start; s is the highest number for the whole circle.
func partIndex(from, to, id ID, n int) int {
	toID, toEnd := from.Distance(id), from.Distance(to)
	o, s := binary.BigEndian.Uint64(toID[:8]), binary.BigEndian.Uint64(toEnd[:8])
	if from == to {
		s = 1<<64 - 1
	}
	hi, lo := bits.Mul64(o, uint64(n))
	if hi >= s {
		return n - 1
	}
	q, _ := bits.Div64(hi, lo, s)
	return min(int(q), n-1)
}

// differing returns those in parts whose digest is not the asker's.
func differing(in []*Member, msg *wire.GetMembers) []*Member {
	n := len(msg.Digests) / 4
	mine := digits(msg.From, msg.To, n, in)
	return slices.DeleteFunc(in, func(who *Member) bool {
		k := 4 * partIndex(msg.From, msg.To, who.ID, n)
		return string(mine[k:k+4]) == string(msg.Digests[k:k+4])
	})
}

// gotMembers takes in the answer to GetMembers.
func (m *Machine) gotMembers(c *call, answer *wire.Members, how answer) {
	ask, ok := c.msg.(*wire.GetMembers)
	if !ok {
		return
	}
	s := &m.news.snap
	comparing := len(ask.Digests) > 0
	if !comparing {
		s.flying--
	}
	if how != answered {
		m.suspected(c.peer.ID)
		if !comparing && len(s.parts) < 64 {
			s.parts = append(s.parts, arc{from: ask.From, to: ask.To, most: ask.Most})
			s.next = m.now.Add(m.cfg.Timing.Fast)
		}
		return
	}
	learned, asked := 0, 0
	for i := range answer.Descs {
		d := &answer.Descs[i]
		if i >= int(ask.Most) || ask.From != ask.To && d.ID != ask.From && !between(ask.From, d.ID, ask.To) {
			m.refuse(RefusedOutOfRange)
			break
		}
		known := m.table.get(d.ID)
		isNew := known == nil || known.who.seq() < d.Seq
		unheard := known == nil || !known.is(verified|described) // by others' word it may stand in the table
		if unheard && asked < 2 && m.mayLive(d) {
			asked++
		}
		if known == nil || known.who.seq() <= d.Seq {
			if who, _ := m.offered(d, c.peer.ID, item{}); who != nil && m.table.get(d.ID) == nil {
				isNew = false // there is no place for it
			}
		}
		if isNew {
			learned++
		}
	}
	if comparing {
		m.compared(ask, answer, learned)
		return
	}
	m.advised(answer)
}

// advised takes over what neighbours have found out about the ring, and plans
// what is still to be asked for.
func (m *Machine) advised(answer *wire.Members) {
	s := &m.news.snap
	s.known += int(min(answer.Known, MaxMembers))
	if s.first {
		s.shares = append(s.shares, int(answer.Share))
		s.stays = append(s.stays, int(answer.Session))
	}
	if s.flying > 0 || len(s.parts) > 0 {
		return
	}
	if !s.first {
		s.done = true
		return
	}
	s.first = false
	m.news.share = min(max(median(s.shares), leastShare), fullShare)
	m.news.thin = m.news.share < fullShare
	if stay := median(s.stays); stay > 0 {
		m.news.stay.guess(time.Duration(stay)*time.Second, toldLeft)
	}
	m.announce()
	if m.news.thin || s.known <= m.table.order.len()+1 || m.table.order.len() >= m.table.max {
		s.done = true
		return
	}
	pieces := min(max(1, s.known/piecePlan+1), 64)
	var at, width ID
	binary.BigEndian.PutUint64(at[:], m.rng.Uint64())
	binary.BigEndian.PutUint64(width[:], (1<<64-1)/uint64(pieces)+1)
	start := at
	for i := range pieces {
		to := at.Add(width)
		if i == pieces-1 {
			to = start
		}
		if pieces == 1 {
			to = at
		}
		s.parts = append(s.parts, arc{from: at, to: to, most: pieceMost})
		at = to
	}
	s.next = m.now
}

func median(v []int) int {
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	return v[len(v)/2]
}

// tickCompare finds out now and then whether another member knows more.
func (m *Machine) tickCompare() {
	if m.news.compare.After(m.now) {
		return
	}
	m.news.compare = m.now.Add(m.jitter(compareEvery))
	if !m.news.snap.done || m.news.thin || m.ring.Small() || m.full() {
		return
	}
	fingers := m.newsFingers()
	if len(fingers) == 0 {
		return
	}
	f := fingers[m.rng.IntN(len(fingers))]
	var from, width ID
	binary.BigEndian.PutUint64(from[:], m.rng.Uint64())
	to := from
	if n := m.table.order.len(); n > compareWidth {
		binary.BigEndian.PutUint64(width[:], (1<<64-1)/uint64(n)*compareWidth)
		to = from.Add(width)
	}
	m.callPeer(callMembers, f.id, &wire.GetMembers{
		From: from, To: to, Most: compareWidth, Digests: digits(from, to, compareDigits, m.within(from, to)),
	})
}

// full reports whether the table has no room for what a comparison may bring.
// Where the ring is larger than the tables, each keeps another part of it: what two
// of them lack of each other is as much as ever after any comparison.
func (m *Machine) full() bool { return m.table.len() > m.table.max-compareWidth }

// compared draws conclusions: nothing learned again and again means that the
// table is complete. A member that the other does not have where it has others
// may have died: one of those is asked.
func (m *Machine) compared(ask *wire.GetMembers, answer *wire.Members, learned int) {
	if learned > 1 {
		m.news.inSync = 0
	} else {
		m.news.inSync++
	}
	if m.news.inSync < inSyncEnough {
		m.news.compare = m.now.Add(m.jitter(compareSoon))
	}
	if m.large() {
		m.setComplete(m.news.inSync >= inSyncEnough)
	}
	if len(answer.Descs) >= int(ask.Most) {
		return
	}
	var seen [compareDigits]bool
	has := map[ID]bool{}
	for i := range answer.Descs {
		seen[partIndex(ask.From, ask.To, answer.Descs[i].ID, compareDigits)] = true
		has[answer.Descs[i].ID] = true
	}
	for _, who := range m.within(ask.From, ask.To) {
		if seen[partIndex(ask.From, ask.To, who.ID, compareDigits)] && !has[who.ID] && who.ID != m.ring.Self {
			m.probe(who.ID)
			return
		}
	}
}

func (m *Machine) setComplete(complete bool) {
	if m.explore.complete != complete {
		m.explore.complete = complete
		m.version++
	}
}

// crowd estimates how many members the ring has, from the length of the list.
func (m *Machine) crowd() int {
	n := m.ring.Succ.Len()
	if n < zave.MaxSuccessors/2 {
		return n + 1
	}
	d := m.ring.Self.Distance(m.ring.Succ.At(n - 1))
	span := binary.BigEndian.Uint64(d[:8])
	if span == 0 {
		return 1 << 30
	}
	return int(min((1<<64-1)/span*uint64(n), 1<<30))
}
