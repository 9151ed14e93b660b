package chord

import (
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/wire"
)

// hand lets a node answer a request as if from another, outside the network.
func (l *lab) hand(to *Machine, from ID, msg wire.Message) wire.Message {
	l.token++
	l.step(to.Ring().Self, to, Request{Token: l.token, From: wire.Peer{ID: from, Owner: l.ledger.owners[from]}, Msg: msg})
	answer := l.replies[l.token]
	delete(l.replies, l.token)
	return answer
}

// sorted returns the live members in order.
func (l *lab) sorted() []ID {
	ids := sortedKeys(l.nodes)
	return slices.DeleteFunc(ids, func(id ID) bool { return l.nodes[id].Phase() != PhaseJoined })
}

func all(self ID, descs []wire.Descriptor, notices ...wire.Notice) *wire.Gossip {
	return &wire.Gossip{Groups: []wire.News{{From: self, Until: self, Descs: descs, Notices: notices}}}
}

// TestPoison: a member with a valid certificate sends what is forged, stale, of
// the future, of another overlay or about others, and lying notices. Nothing of
// it changes a table, everything is counted, and nobody honest is dropped.
func TestPoison(t *testing.T) {
	l := newLab(t, 51)
	l.notaries()
	const n = 40
	l.grow(n, 100*time.Millisecond)
	l.run(3 * time.Minute)
	if _, least, _ := l.known(); least < n-1 {
		t.Fatalf("somebody knows only %d", least)
	}
	ids := l.sorted()
	bad, victim, far := ids[5], ids[6], ids[25]
	liar := &notary{self: bad, overlay: "lan.example", shared: l.ledger}
	elsewhere := &notary{self: bad, overlay: "other.example", shared: l.ledger}
	now := l.now.UnixMilli()
	genuine := *l.nodes[victim].news.self.Desc
	make := func(y *notary, d wire.Descriptor) wire.Descriptor {
		d, _ = y.SignDescriptor(d)
		return d
	}
	forge := func(d wire.Descriptor) wire.Descriptor { d.Signature[0] ^= 1; return d }
	newer, older := genuine, genuine
	newer.Seq += 1000
	newer.Addrs = vpeer(bad, 1).Addrs
	older.Seq = now - 24*3600*1000
	notice := func(witness, subject ID, seq int64) wire.Notice {
		x, _ := liar.SignNotice(wire.Notice{Subject: subject, Seq: seq, Witness: witness})
		return x
	}
	bent := func(x wire.Notice) wire.Notice { x.Signature[0] ^= 1; return x }
	own := wire.Descriptor{ID: bad, Addrs: vpeer(bad, 1).Addrs, Seq: now + 3600*1000, Lifetime: 600}
	for _, c := range []struct {
		name, reason string
		descs        []wire.Descriptor
		notices      []wire.Notice
	}{
		{"another's descriptor with other addresses", RefusedForged, []wire.Descriptor{forge(make(liar, newer))}, nil},
		{"a descriptor of another overlay", RefusedForged, []wire.Descriptor{make(elsewhere, newer)}, nil},
		{"an old descriptor", RefusedStale, []wire.Descriptor{make(liar, older)}, nil},
		{"a descriptor of the future", RefusedFuture, []wire.Descriptor{make(liar, own)}, nil},
		{"a death by one witness twice", RefusedWitness, nil, []wire.Notice{notice(bad, victim, genuine.Seq), notice(bad, victim, genuine.Seq)}},
		{"a death by a forged witness", RefusedForged, nil, []wire.Notice{notice(bad, victim, genuine.Seq), bent(notice(ids[7], victim, genuine.Seq))}},
		{"a death by witnesses far away", RefusedWitness, nil, []wire.Notice{notice(bad, ids[30], now), notice(ids[4], ids[30], now)}},
		{"a death of an earlier life", RefusedStale, nil, []wire.Notice{notice(bad, victim, genuine.Seq-1), notice(ids[7], victim, genuine.Seq-1)}},
		{"notices of two subjects", RefusedUnexpected, nil, []wire.Notice{notice(bad, victim, genuine.Seq), notice(ids[7], ids[8], genuine.Seq)}},
	} {
		before := l.refused[c.reason]
		l.hand(l.nodes[far], bad, all(far, c.descs, c.notices...))
		if l.refused[c.reason] == before {
			t.Errorf("%s: not counted as %s: %v", c.name, c.reason, l.refused)
		}
		if m := l.nodes[far].table.get(victim); m == nil || !slices.Equal(m.who.Addrs, genuine.Addrs) {
			t.Errorf("%s: the victim's entry has changed", c.name)
		}
	}
	l.run(30 * time.Second)
	if mean, least, dead := l.known(); least < n-1 || dead > 0 {
		t.Errorf("afterwards %.1f known, least %d, dead %.1f", mean, least, dead)
	}
}

// TestMatrixH4FloodOfNews: one member that sends without end makes a node look
// at no more than its share, and keep nothing.
func TestMatrixH4FloodOfNews(t *testing.T) {
	l := newLab(t, 52)
	l.notaries()
	l.grow(12, 100*time.Millisecond)
	l.run(time.Minute)
	ids := l.sorted()
	m := l.nodes[ids[0]]
	checks := m.cfg.Verifier.(*notary)
	liar := &notary{self: ids[1], overlay: "lan.example", shared: l.ledger}
	before := checks.checked
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	held := heap()
	sent := 0
	for range 400 {
		var descs []wire.Descriptor
		for range wire.MaxNews {
			id := l.id() // nobody's
			d, _ := liar.SignDescriptor(wire.Descriptor{ID: id, Seq: l.now.UnixMilli(), Lifetime: 600})
			d.Signature[1] ^= 1
			descs = append(descs, d)
		}
		sent += len(descs)
		l.hand(m, ids[1], all(ids[0], descs))
		l.now = l.now.Add(10 * time.Millisecond)
	}
	grown := heap() - held
	t.Logf("matrix: H4 memory under a flood of descriptors: %d sent, %d looked at, heap %+d KiB", sent, checks.checked-before, grown>>10)
	if grown > 4<<20 {
		t.Errorf("the heap has grown by %d KiB", grown>>10)
	}
	if got := checks.checked - before; got > senderMost+8*perSender || l.refused[RefusedTooMuch] == 0 {
		t.Errorf("%d of %d checked; refused %v", got, sent, l.refused)
	}
	if m.table.len() > 12 || len(m.news.out) > maxItems {
		t.Errorf("%d in the table, %d on the way", m.table.len(), len(m.news.out))
	}
}

// TestParkedOfOneSender: descriptors whose certificates nobody has wait for them,
// and one sender's do not take the places of others'.
func TestParkedOfOneSender(t *testing.T) {
	l := newLab(t, 57)
	l.notaries()
	l.grow(12, 100*time.Millisecond)
	l.run(time.Minute)
	ids := l.sorted()
	m := l.nodes[ids[0]]
	m.cfg.Verifier.(*notary).certs = map[wire.CertHash]bool{}
	strangers := func(count int) []wire.Descriptor {
		var descs []wire.Descriptor
		for range count {
			id := l.id()
			d, _ := (&notary{self: id, overlay: "lan.example", shared: l.ledger}).SignDescriptor(wire.Descriptor{ID: id, Seq: l.now.UnixMilli(), Lifetime: 600})
			descs = append(descs, d)
		}
		return descs
	}
	for range 4 {
		l.hand(m, ids[1], all(ids[0], strangers(wire.MaxNews)))
	}
	if got := len(m.news.pending); got != sentMost || l.refused[RefusedTooMuch] == 0 {
		t.Fatalf("%d of one sender wait, not %d; refused %v", got, sentMost, l.refused)
	}
	l.hand(m, ids[2], all(ids[0], strangers(5)))
	if got := len(m.news.pending); got != sentMost+5 {
		t.Errorf("%d wait: another sender's were kept out", got)
	}
}

// TestRefutation: two neighbours of different owners declare a live member dead.
// Its next descriptor, with a higher number, brings it back everywhere, and its
// other neighbours never drop it.
func TestRefutation(t *testing.T) {
	l := newLab(t, 53)
	l.notaries()
	const n = 40
	l.grow(n, 100*time.Millisecond)
	l.run(3 * time.Minute)
	ids := l.sorted()
	victim := ids[20]
	liar := &notary{overlay: "lan.example", shared: l.ledger}
	seq := l.nodes[victim].news.seq
	a, _ := liar.SignNotice(wire.Notice{Subject: victim, Seq: seq, Witness: ids[18]})
	b, _ := liar.SignNotice(wire.Notice{Subject: victim, Seq: seq, Witness: ids[22]})
	dropped := 0
	for _, id := range ids {
		if id != victim && id != ids[18] && id != ids[22] {
			l.hand(l.nodes[id], ids[18], all(id, nil, a, b))
			if l.nodes[id].table.get(victim) == nil {
				dropped++
			}
		}
	}
	if dropped == 0 {
		t.Error("the attack had no effect at all")
	}
	start := l.now
	for {
		if _, least, _ := l.known(); least == n-1 {
			break
		}
		if l.now.Sub(start) > time.Minute {
			t.Fatalf("after a minute not everybody knows it again; its number is %d, was %d", l.nodes[victim].news.seq, seq)
		}
		l.run(250 * time.Millisecond)
	}
	t.Logf("%d of %d dropped it; all know it again after %v", dropped, n-1, l.now.Sub(start))
	if l.nodes[victim].news.seq <= seq {
		t.Error("it has not contradicted")
	}
	if ring := l.ring(); ring.Ideal() != nil {
		t.Error("the ring has suffered")
	}
	// The same notices again are about an earlier life.
	before := l.refused[RefusedStale]
	l.hand(l.nodes[ids[0]], ids[18], all(ids[0], nil, a, b))
	if l.nodes[ids[0]].table.get(victim) == nil || l.refused[RefusedStale] == before {
		t.Error("old notices work again")
	}
}

// TestReplayedGoodbye: a goodbye of an earlier run takes nobody out.
func TestReplayedGoodbye(t *testing.T) {
	l := newLab(t, 54)
	l.notaries()
	const n = 30
	l.grow(n, 100*time.Millisecond)
	l.run(2 * time.Minute)
	ids := l.sorted()
	id, far := ids[10], ids[25]
	y := &notary{overlay: "lan.example", shared: l.ledger}
	bye, _ := y.SignDescriptor(wire.Descriptor{ID: id, Seq: l.nodes[id].news.seq + 5, State: wire.NodeLeaving, Lifetime: 600})
	l.run(time.Minute)
	m := l.nodes[id]
	l.step(id, m, Leave{})
	l.run(2 * time.Second)
	delete(l.nodes, id)
	l.run(20 * time.Second)
	l.step(id, l.add(id), Join{Seeds: []wire.Peer{vpeer(ids[0], 1)}})
	l.run(time.Minute)
	if _, least, _ := l.known(); least < n-1 {
		t.Fatalf("it is back, and somebody knows only %d", least)
	}
	before := l.refused[RefusedStale]
	l.hand(l.nodes[far], ids[2], all(far, []wire.Descriptor{bye}))
	if l.nodes[far].table.get(id) == nil || l.refused[RefusedStale] == before {
		t.Errorf("the old goodbye worked; refused %v", l.refused)
	}
}
