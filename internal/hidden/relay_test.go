package hidden

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// Only Fetch is answered out of a box: what is answered by who asks is not, and
// nothing is passed on a third time.
func TestOnlyFetchIsAnswered(t *testing.T) {
	w := newWorld(t, 5)
	ask, _, err := sealAsk(w.keys[w.peers[3].ID].Public(), overlay, &wire.Ping{})
	if err != nil {
		t.Fatal(err)
	}
	others := []wire.Message{
		&wire.Ping{}, &wire.GetState{}, &wire.Notify{Self: wire.Peer{ID: w.peers[0].ID}}, &wire.Vouch{}, &wire.Attach{For: 9},
		&wire.Carry{}, &wire.Ask{Box: ask[:90]}, &wire.Turn{Box: ask[:90]}, &wire.Pass{To: w.peers[4].ID, Box: ask[:50]},
	}
	for _, req := range others {
		answer, err := w.way([2]int{1, 2}).Call(t.Context(), w.peers[3], req)
		if e, ok := answer.(*wire.Error); err != nil || !ok || e.Code != wire.CodeForbidden {
			t.Errorf("%s: %+v, %v", req.Type(), answer, err)
		}
	}
	if w.counted(ReasonNotAFetch) != len(others) || len(w.sights(wire.TypeFetch)) != 0 {
		t.Error(w.refused)
	}
	from := wire.Peer{ID: w.peers[0].ID}
	relay := w.nodes[w.peers[1].ID]
	refused := []struct {
		req    wire.Message
		reason string
	}{
		{&wire.Ask{Box: make([]byte, wire.AskBox)}, ReasonBadBox}, {&wire.Ask{}, ReasonBadBox},
		{&wire.Turn{Box: make([]byte, wire.TurnBox)}, ReasonBadBox}, {&wire.Turn{Box: ask}, ReasonBadBox},
		{&wire.Pass{To: identity.HashID("a stranger"), Box: make([]byte, wire.TurnBox)}, ReasonUnknown},
		{&wire.Pass{To: w.peers[1].ID, Box: make([]byte, wire.TurnBox)}, ReasonUnknown}, // itself
		{&wire.Pass{To: w.peers[0].ID, Box: make([]byte, wire.TurnBox)}, ReasonUnknown}, // back
		{&wire.Pass{To: w.peers[2].ID, Box: make([]byte, wire.TurnBox)}, ReasonUnanswered},
	}
	for _, c := range refused {
		before := w.counted(c.reason)
		if _, ok := relay.Serve(t.Context(), from, c.req).(*wire.Error); !ok || w.counted(c.reason) == before {
			t.Errorf("%+v: %v", c.req, w.refused)
		}
	}
	if relay.Serve(t.Context(), from, &wire.Ping{}) != nil || relay.Serve(t.Context(), from, fetch(1)) != nil {
		t.Error("other messages are not its matter")
	}
}

// One link has its bounds, whoever is behind it, and the others go on.
func TestLinksAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 4)
		ask, _, err := sealAsk(w.keys[w.peers[3].ID].Public(), overlay, fetch(1))
		if err != nil {
			t.Fatal(err)
		}
		relay, req := w.nodes[w.peers[3].ID], &wire.Ask{Box: ask}
		served := func(from wire.Peer) bool {
			_, ok := relay.Serve(t.Context(), from, req).(*wire.Passed)
			return ok
		}
		n := 0
		for range 500 {
			if served(w.peers[0]) {
				n++
			}
		}
		if n != questionBurst || w.counted(ReasonRate) != 500-n || !served(w.peers[1]) {
			t.Errorf("%d at once, %v", n, w.refused)
		}
		<-time.After(10 * perQuestion) // virtual
		for range 20 {
			if served(w.peers[0]) {
				n++
			}
		}
		if n != questionBurst+10 {
			t.Errorf("%d a second later", n-questionBurst)
		}
		w.slow = time.Second
		var work sync.WaitGroup
		var mu sync.Mutex
		atOnce := 0
		for range 2 * atOnceLink {
			work.Go(func() {
				if served(w.peers[2]) {
					mu.Lock()
					defer mu.Unlock()
					atOnce++
				}
			})
		}
		work.Wait()
		if atOnce != atOnceLink || w.counted(ReasonBusy) != atOnceLink {
			t.Errorf("%d at once, %v", atOnce, w.refused)
		}
	})
}

// Many links together bring no more for one member than one link may: what this
// node itself asks of that one goes on.
func TestMembersAreSpared(t *testing.T) {
	w := newWorld(t, 30)
	ask, _, err := sealAsk(w.keys[w.peers[2].ID].Public(), overlay, fetch(1))
	if err != nil {
		t.Fatal(err)
	}
	turn, _, err := sealTurn(w.keys[w.peers[2].ID].Public(), overlay, w.peers[2].ID, ask)
	if err != nil {
		t.Fatal(err)
	}
	relay, req := w.nodes[w.peers[1].ID], &wire.Pass{To: w.peers[2].ID, Box: turn}
	now := time.Now()
	for _, from := range w.peers[3:] {
		for range 10 {
			relay.Serve(t.Context(), from, req)
		}
	}
	most := questionBurst + int(time.Since(now)/perQuestion) + 1
	if got := len(w.sights(wire.TypeTurn)); got < questionBurst || got > most || w.counted(ReasonRate) != 270-got {
		t.Errorf("%d of 270 passed on, at most %d; %v", got, most, w.refused)
	}
}

// Bytes of answers are paid afterwards, and links are not remembered without end.
func TestLimitsForget(t *testing.T) {
	l, now := newLimits(), time.Unix(1_700_000_000, 0)
	id := identity.HashID("a")
	done, reason := l.enter(id, now)
	if reason != "" {
		t.Fatal(reason)
	}
	done(3 * byteBurst)
	if _, reason = l.enter(id, now); reason != ReasonBytes {
		t.Error(reason)
	}
	if _, reason = l.enter(id, now.Add(2*byteBurst*perByte+time.Second)); reason != "" {
		t.Error(reason)
	}
	full := newLimits()
	for i := range 3 * maxLinks {
		done, reason := full.enter(identity.Fraction(i, 3*maxLinks), now.Add(time.Duration(i)*time.Millisecond))
		if reason != "" {
			t.Fatal(i, reason)
		}
		done(100)
	}
	if len(full.links) > maxLinks {
		t.Error(len(full.links))
	}
}
