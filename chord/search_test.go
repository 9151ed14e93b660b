package chord

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/secp2psip/secp2psip/chord/zave"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// model is an ideal ring that answers a search, some of whose nodes are dead or
// lead astray.
type model struct {
	ring  zave.Ring
	dead  map[ID]bool
	lying map[ID]bool
	lies  int
}

func newModel(n int) *model {
	ids := make([]ID, n)
	for i := range ids {
		ids[i] = ID{byte(i * 256 / n), 1}
	}
	return &model{ring: zave.IdealRing(8, ids...), dead: map[ID]bool{}, lying: map[ID]bool{}}
}

func (m *model) peers(s *zave.State) (out []wire.Peer) {
	for _, id := range s.Succ.IDs() {
		out = append(out, vpeer(id, 1))
	}
	return out
}

// ask answers as a node that knows no more than its list.
func (m *model) ask(id ID, msg wire.Message) wire.Message {
	s, ok := m.ring.Get(id)
	if !ok || m.dead[id] {
		return nil
	}
	list := m.peers(s)
	find, isFind := msg.(*wire.Find)
	switch {
	case m.lying[id] && !isFind:
		m.lies++
		return &wire.State{Self: vpeer(id, 1), Succ: []wire.Peer{vpeer(succOf(id), 9)}}
	case m.lying[id]: // ever closer, and nobody is there
		m.lies++
		closer := find.Target
		closer[15] -= byte(m.lies)
		return &wire.Found{Peers: []wire.Peer{vpeer(closer, 9)}}
	case !isFind:
		return &wire.State{Self: vpeer(id, 1), Succ: list}
	case zave.Owns(id, find.Target, list[0].ID):
		return &wire.Found{Done: true, Peers: list}
	}
	var hops []wire.Peer
	for i := len(list) - 1; i >= 0; i-- {
		if between(id, list[i].ID, find.Target) {
			hops = append(hops, list[i])
		}
	}
	return &wire.Found{Peers: hops[:min(len(hops), nextHops)]}
}

// search runs a search to its end, with the answers in random order.
func (m *model) search(t *testing.T, rng *rand.Rand, self, target ID, start, own []wire.Peer) (Route, error) {
	t.Helper()
	s := NewSearch(self, target, start, own, nil)
	type query struct {
		id  ID
		msg wire.Message
	}
	var flying []query
	for queries := 0; ; {
		for s.Flying() < searchParallel {
			p, msg, ok := s.Next()
			if !ok {
				break
			}
			if queries++; queries > searchQueries {
				t.Fatalf("%d queries", queries)
			}
			flying = append(flying, query{p.ID, msg})
		}
		if len(flying) != s.Flying() {
			t.Fatalf("%d queries under way, not %d", s.Flying(), len(flying))
		}
		if r, final, _ := s.Result(); final {
			return r, nil
		}
		if len(flying) == 0 {
			return Route{Hops: s.Hops()}, s.Err()
		}
		k := rng.IntN(len(flying))
		q := flying[k]
		flying = append(flying[:k], flying[k+1:]...)
		s.Answer(q.id, m.ask(q.id, q.msg), 1)
	}
}

// owner returns the live node responsible for target.
func (m *model) owner(target ID) ID {
	for i := range m.ring {
		if id := m.ring[i].Self; id.Compare(target) >= 0 && !m.dead[id] {
			return id
		}
	}
	for i := range m.ring {
		if id := m.ring[i].Self; !m.dead[id] {
			return id
		}
	}
	return ID{}
}

// TestSearchFindsTheOwner: with and without dead nodes, by lists alone, a search
// ends at the node responsible or names a dead one whose successors lead there.
func TestSearchFindsTheOwner(t *testing.T) {
	const seed = 8
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 8))
	hops := 0
	for run := range 400 {
		m := newModel(32)
		for range run % 8 { // up to a quarter of the nodes; never eight in a row
			m.dead[m.ring[rng.IntN(32)].Self] = true
		}
		self := &m.ring[rng.IntN(32)]
		delete(m.dead, self.Self)
		target := ID{byte(rng.Uint32()), byte(rng.Uint32())}
		start := m.peers(self)
		r, err := m.search(t, rng, self.Self, target, start, start)
		if err != nil {
			t.Fatalf("run %d: %v", run, err)
		}
		got := r.Responsible.ID
		for _, p := range r.Successors {
			if m.dead[got] {
				got = p.ID
			}
		}
		if want := m.owner(target); got != want {
			t.Fatalf("run %d: %s is %s's, not %s's", run, target.Short(), want.Short(), got.Short())
		}
		hops += len(r.Hops)
	}
	t.Logf("32 nodes, lists alone: %.1f queries on average", float64(hops)/400)
}

// TestSearchEndsWithLiars: nodes that name members ever closer, who do not
// exist, cost queries and no more; the honest answer is still found.
func TestSearchEndsWithLiars(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	m := newModel(64)
	for i := 0; i < 64; i += 7 {
		m.lying[m.ring[i].Self] = true
	}
	right, all := 0, 0
	for i := range m.ring {
		self := &m.ring[i]
		target := ID{byte(rng.Uint32()), byte(rng.Uint32())}
		if m.lying[self.Self] {
			continue
		}
		var start []wire.Peer // as from a table that knows everybody
		for k := range m.ring {
			if between(self.Self, m.ring[k].Self, target) {
				start = append(start, vpeer(m.ring[k].Self, 1))
			}
		}
		r, err := m.search(t, rng, self.Self, target, start, m.peers(self))
		if all++; err == nil && r.Responsible.ID == m.owner(target) {
			right++
		} else if err != nil && !errors.Is(err, ErrHops) && !errors.Is(err, ErrNoRoute) {
			t.Fatal(err)
		}
	}
	t.Logf("10 of 64 lie (%d times): %d of %d searches right", m.lies, right, all)
	if m.lies == 0 || right < all*8/10 {
		t.Errorf("%d of %d right, %d lies", right, all, m.lies)
	}
}

// TestSearchRefusesNoProgress: members named that are no closer are not asked.
func TestSearchRefusesNoProgress(t *testing.T) {
	refused := 0
	self, target := ID{10}, ID{100}
	s := NewSearch(self, target, []wire.Peer{vpeer(ID{50}, 1)}, nil, func(reason string) {
		if reason == RefusedNoProgress {
			refused++
		}
	})
	p, _, _ := s.Next()
	s.Answer(p.ID, &wire.Found{Peers: []wire.Peer{vpeer(ID{40}, 1), vpeer(ID{50}, 1), vpeer(ID{110}, 1), vpeer(self, 1)}}, 1)
	if refused != 4 {
		t.Errorf("%d refused, want 4", refused)
	}
	if p, msg, ok := s.Next(); !ok || p.ID != (ID{50}) || msg.Type() != wire.TypeGetState {
		t.Errorf("next is %v %v %v, want the list of the only one that answers", p.ID, msg, ok)
	}
	s.Answer(ID{50}, &wire.Found{Done: true, Peers: []wire.Peer{vpeer(ID{60}, 1)}}, 1)
	if _, final, _ := s.Result(); final || refused != 5 {
		t.Error("a responsible node that comes before the target is believed")
	}
}
