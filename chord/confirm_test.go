package chord

import (
	"testing"

	"github.com/secp2psip/secp2psip/internal/wire"
)

// TestPassedOver: a member that says another is responsible than the nearest
// node is contradicted by that node, where the asking one knows it and it lives.
func TestPassedOver(t *testing.T) {
	self, target := ID{10}, ID{100}
	for _, c := range []struct {
		name    string
		answers wire.Message // of the nearest node
		want    ID
	}{
		{"it lives", &wire.Found{Done: true, Peers: []wire.Peer{vpeer(ID{105}, 1), vpeer(ID{106}, 1)}}, ID{105}},
		{"it lives and knows better", &wire.Found{Peers: []wire.Peer{vpeer(ID{95}, 1)}}, ID{105}},
		{"it is dead", nil, ID{120}},
	} {
		passed := 0
		s := NewSearch(self, target, []wire.Peer{vpeer(ID{50}, 1)}, nil, func(reason string) {
			if reason == RefusedPassedOver {
				passed++
			}
		})
		s.hold([]wire.Peer{vpeer(ID{105}, 1), vpeer(ID{120}, 1)})
		p, _, _ := s.Next()
		s.Answer(p.ID, &wire.Found{Done: true, Peers: []wire.Peer{vpeer(ID{120}, 1)}}, 1)
		if _, final, _ := s.Result(); final || s.doneBy != (ID{50}) {
			t.Errorf("%s: believed at once", c.name)
		}
		p, ask, ok := s.Next()
		if find, is := ask.(*wire.Find); !ok || p.ID != (ID{105}) || !is || find.Target != target {
			t.Fatalf("%s: %v %v is asked", c.name, p.ID, ask)
		}
		s.Answer(p.ID, c.answers, 1)
		r, final, ok := s.Result()
		if !final || !ok || r.Responsible.ID != c.want || (passed == 1) != (c.want == ID{105}) {
			t.Errorf("%s: %s is responsible, final %v, %d passed over", c.name, r.Responsible.ID.Short(), final, passed)
		}
	}
}

// TestImplausible: nobody before the target is responsible for it, nor anybody
// after the asking member.
func TestImplausible(t *testing.T) {
	self, target, by := ID{130}, ID{100}, ID{50}
	for names, want := range map[ID]HopOutcome{{50}: HopNoProgress, {140}: HopNoProgress, {130}: HopDone, {100}: HopDone, {110}: HopDone} {
		s := NewSearch(self, target, []wire.Peer{vpeer(by, 1)}, nil, nil)
		p, _, _ := s.Next()
		s.Answer(p.ID, &wire.Found{Done: true, Peers: []wire.Peer{vpeer(names, 1)}}, 1)
		if got := s.Hops()[0].Outcome; got != want {
			t.Errorf("%s is responsible for %s: %s, want %s", names.Short(), target.Short(), got, want)
		}
	}
}

// TestSecondWitness: where the asking node knows nobody near the target, it has
// the list of another member, which names a nearer node that is then asked.
func TestSecondWitness(t *testing.T) {
	self, target := ID{10}, ID{100}
	s := NewSearch(self, target, []wire.Peer{vpeer(ID{50}, 1), vpeer(ID{80}, 1)}, nil, nil)
	for range 2 {
		p, _, _ := s.Next()
		answer := &wire.Found{Peers: []wire.Peer{vpeer(ID{90}, 1)}}
		s.Answer(p.ID, answer, 1)
	}
	p, _, _ := s.Next()
	s.Answer(p.ID, &wire.Found{Done: true, Peers: []wire.Peer{vpeer(ID{150}, 1)}}, 1)
	p, ask, ok := s.Next()
	if !ok || ask.Type() != wire.TypeGetState {
		t.Fatalf("%v is asked of %v", ask, p.ID)
	}
	s.Answer(p.ID, &wire.State{Self: p, Succ: []wire.Peer{vpeer(ID{90}, 1), vpeer(ID{110}, 1)}}, 1)
	p, ask, _ = s.Next()
	if p.ID != (ID{110}) || ask.Type() != wire.TypeFind {
		t.Fatalf("%v is asked of %v", ask, p.ID)
	}
	s.Answer(p.ID, &wire.Found{Done: true, Peers: []wire.Peer{vpeer(ID{110}, 1)}}, 1)
	if r, final, ok := s.Result(); !final || !ok || r.Responsible.ID != (ID{110}) {
		t.Errorf("%s is responsible, final %v", r.Responsible.ID.Short(), final)
	}
}
