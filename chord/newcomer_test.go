package chord

import (
	"slices"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/wire"
)

// standing is a ring of n members that know one another, and whose links take a
// while.
func (l *lab) standing(n int, oneWay time.Duration) (all []*Member) {
	l.notaries()
	for i := range n {
		all = append(all, l.certified(tagOf(uint64(i)), vpeer(ID{byte(i >> 8), byte(i)}, 0).Addrs[0].Addr()))
	}
	l.settled(all, func(who *Member, cfg *MachineConfig) { cfg.Self = who.Peer }, func(*Member) []*Member { return all })
	for _, who := range all { // it has stood for long
		news := &l.nodes[who.ID].news
		news.self, news.seq = who, who.seq()
		news.snap.done, news.inSync = true, inSyncEnough
		news.again = l.now.Add(time.Hour)
	}
	l.change = nil
	l.wait = oneWay
	return all
}

// TestNewcomer: in a ring of 2,000 whose links take 50 to 60 ms for a round trip,
// a newcomer has its neighbours, members in every doubled distance and 512 entries
// a second after it was let in, and nearly everybody within a minute; and of all
// that is in its table it has checked the signature.
func TestNewcomer(t *testing.T) {
	l := newLab(t, 61)
	const n = 1000
	all := l.standing(n, 24*time.Millisecond)
	l.run(2 * time.Second)
	id := l.id()
	m := l.add(id)
	checks := m.cfg.Verifier.(*notary)
	l.step(id, m, Join{Seeds: []wire.Peer{all[0].Peer}})
	began := l.now
	for m.Phase() != PhaseJoined {
		if l.run(10 * time.Millisecond); l.now.Sub(began) > 5*time.Second {
			t.Fatal("it is not let in")
		}
	}
	in := l.now.Sub(began)
	l.run(time.Second)
	soon, fingers := m.View().Members(), len(m.newsFingers())
	ids := l.sorted()
	at, ring := slices.Index(ids, id), m.Ring()
	if ring.Pred != ids[(at+n)%(n+1)] {
		t.Error("its predecessor is not right a second after it was let in")
	}
	for k, s := range ring.Succ.IDs() {
		if s != ids[(at+1+k)%(n+1)] {
			t.Errorf("its successor %d of %d is not right", k, ring.Succ.Len())
		}
	}
	if soon < 512 || fingers < 9 {
		t.Errorf("%d entries and %d fingers after a second", soon, fingers)
	}
	l.run(59 * time.Second)
	late := m.View().Members()
	if late < n*99/100 {
		t.Errorf("%d of %d entries after a minute", late, n)
	}
	met, unchecked := 0, 0
	for _, s := range m.table.order.slots {
		for i := range s.chunk.n {
			switch c := &s.chunk.c[i]; {
			case c.is(described):
			case c.is(verified):
				met++
			default:
				unchecked++
			}
		}
	}
	if unchecked > 0 || checks.checked < late-met {
		t.Errorf("%d entries are neither checked nor met; %d signatures checked for %d entries", unchecked, checks.checked, late)
	}
	t.Logf("let in after %v; %d entries and %d fingers a second later, %d of %d after a minute; %d signatures checked", in, soon, fingers, late, n, checks.checked)
}

// TestTablesAfterPartition: a ring is cut in two for minutes, in each half
// somebody dies and somebody says goodbye, and the other half does not hear of it.
// When the cut heals, everybody soon knows all that live on both sides, and none
// that went.
func TestTablesAfterPartition(t *testing.T) {
	const n = 48
	for _, seed := range []uint64{62, 68, 69, 71} { // where somebody had missed one for good
		l := newLab(t, seed)
		l.notaries()
		l.grow(n, 50*time.Millisecond)
		l.run(90 * time.Second)
		l.cutInTwo(n)
		l.cut = nil
		healed := l.now
		for {
			_, least, dead := l.known()
			if l.ring().Ideal() == nil && least == n-5 && dead == 0 {
				break
			}
			if l.now.Sub(healed) > 2*time.Minute {
				t.Fatalf("after 2 minutes somebody knows only %d of %d, %.2f of the entries are dead; ring: %v", least, n-5, dead, l.ring().Ideal())
			}
			l.run(250 * time.Millisecond)
		}
		t.Logf("one ring again, and all %d know all, %v after the cut healed", n-4, l.now.Sub(healed))
	}
}

// cutInTwo parts a ring of n for three minutes, and takes two members from each
// side, of which one says goodbye.
func (l *lab) cutInTwo(n int) {
	side := map[ID]int{}
	for i, id := range l.sorted() {
		side[id] = i * 2 / n
	}
	l.cut = func(a, b ID) bool { return side[a] != side[b] }
	l.run(90 * time.Second)
	ids := l.sorted()
	for k, id := range []ID{ids[3], ids[10], ids[n/2+3], ids[n/2+10]} {
		m := l.nodes[id]
		if k%2 == 0 {
			l.step(id, m, Leave{})
			l.run(time.Second)
		}
		delete(l.nodes, id)
	}
	l.run(90 * time.Second)
	for _, m := range l.nodes {
		for _, p := range m.View().Peers() {
			if side[p.ID] != side[m.Ring().Self] && m.View().Members() > n/2 {
				l.t.Fatalf("%s still knows both sides", m.Ring().Self.Short())
			}
		}
	}
}

// TestRushOfNewcomers: where many come at once, as when an office has power again,
// all of them know all a minute after the last was let in, those who were there first
// and have heard of everybody, too; nobody takes the rush for what the ring costs.
func TestRushOfNewcomers(t *testing.T) {
	for seed := range uint64(4) {
		l := newLab(t, 63+seed)
		l.notaries()
		n, pace := 64, 25*time.Millisecond<<(2*seed)
		l.grow(n, pace)
		began, all := l.now, time.Duration(0)
		for l.now.Sub(began) < 2*time.Minute {
			l.run(time.Second)
			for id, m := range l.nodes {
				if m.news.thin {
					t.Fatalf("%s of %d, one every %v, wants no news any more after %v: %.0f of %.0f B/s, as many as %d for %v", id.Short(), n, pace, l.now.Sub(began), m.lasting(), m.newsBudget(), m.crowd(), m.news.stay.mean())
				}
			}
			if _, least, _ := l.known(); all == 0 && least == n-1 && l.ring().Ideal() == nil {
				all = l.now.Sub(began)
			}
		}
		if all == 0 || all > time.Minute {
			t.Errorf("of %d, one every %v, all know all after %v (0: never)", n, pace, all)
		}
		t.Logf("all %d, one every %v, know all %v after the last has come", n, pace, all)
	}
}
