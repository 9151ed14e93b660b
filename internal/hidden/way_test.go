package hidden

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// The first member sees who asks and nothing else, the holder what is asked and
// not by whom, and the second neither of both.
func TestWay(t *testing.T) {
	w := newWorld(t, 6)
	way := w.way([2]int{1, 2})
	for part := range uint64(5) {
		holder := w.peers[3+part%3]
		answer, err := way.Call(t.Context(), holder, fetch(part))
		if got, ok := answer.(*wire.Fetched); err != nil || !ok || len(got.Records) != 1 {
			t.Fatalf("%+v, %v", answer, err)
		}
	}
	for _, s := range w.sights(wire.TypePass) {
		if s.from != w.peers[0].ID || s.to != w.peers[1].ID || s.msg.(*wire.Pass).To != w.peers[2].ID {
			t.Errorf("%+v", s)
		}
	}
	for _, s := range w.sights(wire.TypeTurn) {
		if s.from != w.peers[1].ID || s.to != w.peers[2].ID {
			t.Errorf("%+v", s)
		}
	}
	for _, s := range w.sights(wire.TypeAsk) {
		if s.from != w.peers[2].ID {
			t.Errorf("%+v", s)
		}
	}
	fetches := w.sights(wire.TypeFetch)
	for _, s := range fetches {
		if s.from != w.peers[2].ID { // who is charged
			t.Errorf("%+v", s)
		}
	}
	if len(fetches) != 5 || len(w.refused) != 0 {
		t.Errorf("%d fetches, %v", len(fetches), w.refused)
	}
}

// A question through this node itself, as about the caller by the callee's
// adapter, leaves it as a Turn; one for the second member itself ends there.
func TestShortWays(t *testing.T) {
	w := newWorld(t, 4)
	for _, holder := range []int{3, 2} {
		if _, err := w.way([2]int{0, 2}).Call(t.Context(), w.peers[holder], fetch(1)); err != nil {
			t.Error(err)
		}
	}
	if len(w.sights(wire.TypePass)) != 0 || len(w.sights(wire.TypeTurn)) != 2 || len(w.sights(wire.TypeAsk)) != 1 || len(w.sights(wire.TypeFetch)) != 2 {
		t.Errorf("%+v", w.seen)
	}
}

// Where a member does not answer another pair is asked, once; then nobody, and
// never the holder openly.
func TestWayIsDrawnAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 9)
		w.kill(w.peers[1].ID)
		way := w.way([2]int{1, 2}, [2]int{3, 4}, [2]int{5, 6})
		if _, err := way.Call(t.Context(), w.peers[8], fetch(1)); err != nil {
			t.Fatal(err)
		}
		if _, err := way.Call(t.Context(), w.peers[7], fetch(1)); err != nil || len(w.sights(wire.TypePass)) != 3 {
			t.Error("the pair that answers is not kept:", err)
		}
		w.kill(w.peers[4].ID)
		if _, err := way.Call(t.Context(), w.peers[8], fetch(2)); !errors.Is(err, ErrNoWay) {
			t.Error(err)
		}
		for _, of := range []wire.Type{wire.TypeFetch, wire.TypeAsk, wire.TypeTurn} {
			for _, s := range w.sights(of) {
				if s.from == w.peers[0].ID {
					t.Errorf("asked openly: %+v", s)
				}
			}
		}
		if _, err := w.way().Call(t.Context(), w.peers[8], fetch(2)); !errors.Is(err, ErrNoWay) {
			t.Error("nobody to ask through:", err)
		}
		if _, err := way.Call(t.Context(), wire.Peer{ID: identity.HashID("a stranger")}, fetch(2)); !errors.Is(err, ErrNoKey) {
			t.Error("no key:", err)
		}
	})
}

// A holder that is dead is the holder's matter; several, where none answers, may be
// the second member's.
func TestDeadHolders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 10)
		w.kill(w.peers[7].ID, w.peers[8].ID, w.peers[9].ID)
		way := w.way([2]int{1, 2}, [2]int{3, 4})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for _, holder := range []int{7, 8} {
			if _, err := way.Call(ctx, w.peers[holder], fetch(1)); !errors.Is(err, ErrNoAnswer) && !errors.Is(err, errDead) {
				t.Error(err)
			}
		}
		if len(w.sights(wire.TypeAsk)) == 0 {
			t.Error("nobody was asked")
		}
		if _, err := way.Call(ctx, w.peers[6], fetch(1)); err != nil {
			t.Error(err)
		}
	})
}

// Members are drawn evenly, of two owners that are not the asker's, and not from
// where the records lie while there are others.
func TestDraw(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var all []wire.Peer
	for i := range 40 {
		all = append(all, wire.Peer{ID: identity.Fraction(i, 40), Owner: identity.OwnerTag{byte(i % 20)}})
	}
	usable := func(id identity.NodeID) bool { return id != all[7].ID }
	c := Candidates{Owner: identity.OwnerTag{3}, Members: all, Usable: usable, Holds: func(id identity.NodeID) bool { return id.Compare(all[20].ID) >= 0 }}
	firsts, seconds := map[identity.NodeID]int{}, map[identity.NodeID]int{}
	for range 8000 {
		first, second, ok := c.Draw(rng, wire.Peer{})
		if !ok || first.Owner == second.Owner || first.Owner == c.Owner || second.Owner == c.Owner || c.Holds(first.ID) || c.Holds(second.ID) || !usable(first.ID) || !usable(second.ID) {
			t.Fatal(first, second, ok)
		}
		firsts[first.ID]++
		seconds[second.ID]++
	}
	for id, n := range firsts {
		if n < 250 || n > 750 || seconds[id] < 250 || seconds[id] > 750 { // 444 in the mean
			t.Errorf("%s is drawn %d and %d times", id.Short(), n, seconds[id])
		}
	}
	c.Holds = func(identity.NodeID) bool { return true }
	if _, _, ok := c.Draw(rng, wire.Peer{}); !ok {
		t.Error("holders are better than nobody")
	}
	c.Members = all[:1]
	if _, _, ok := c.Draw(rng, wire.Peer{}); ok {
		t.Error("one member is enough")
	}
	if first, second, ok := c.Draw(rng, all[5]); !ok || first.ID != all[5].ID || second.ID != all[0].ID {
		t.Error("through one that is given:", first, second, ok)
	}
}
