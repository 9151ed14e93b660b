package node_test

import (
	"context"
	crand "crypto/rand"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// The ways to withhold: what a holder gives those whom it withholds from when
// they want it in writing.
const (
	signsDenial    = iota // a signed denial
	playsTwo              // a signed denial, as another process than it is to others
	signsNothing          // no answer
	waysToWithhold        // how many ways there are
)

// withhold makes a node tell every other one of the others that it holds
// nothing, and sign for them as its way says. To the rest it is honest.
func (h *watch) withhold(w *vring, v *vnode, way int) *lies {
	const overlay = "lan.example"
	key := h.keys[v.self.ID]
	l := &lies{way: way}
	victims := victimsOf(w, v)
	var other [16]byte
	crand.Read(other[:])
	l.serve = func(_ context.Context, v *vnode, from wire.Peer, req wire.Message, honest func() wire.Message) wire.Message {
		answer := honest()
		if !victims[from.ID] {
			return answer
		}
		switch a := answer.(type) {
		case *wire.Fetched:
			if len(a.Records) > 0 {
				l.attacks.Add(1)
				a.Records = nil
			}
		case *wire.Vouched:
			s, err := wire.ReadStatement(overlay, a.Statement)
			if _, vouch := req.(*wire.Vouch); !vouch || err != nil || s.Seq == 0 {
				return answer
			}
			l.attacks.Add(1)
			if way == signsNothing {
				return wire.Errorf(wire.CodeUnsupported, "no")
			}
			s.Seq, s.Digest = 0, [wire.OfferDigest]byte{}
			if way == playsTwo {
				s.Run = other
			}
			a.Statement, _ = wire.SignStatement(s, overlay, key)
		}
		return answer
	}
	h.mu.Lock()
	h.lies[v.self.ID] = l
	h.mu.Unlock()
	return l
}

// victimsOf are every other one of the other nodes.
func victimsOf(w *vring, v *vnode) map[identity.NodeID]bool {
	victims := map[identity.NodeID]bool{}
	for _, o := range w.live() {
		victims[o.self.ID] = o != v && len(victims)%2 == 0
	}
	return victims
}

// canWithhold reports whether a node holds a record of one of its victims.
func canWithhold(w *vring, v *vnode) bool {
	names := map[string]bool{}
	for id, victim := range victimsOf(w, v) {
		if victim {
			names[w.people[id].aor.String()] = true
		}
	}
	for _, r := range v.store.All() {
		if b, err := r.Body(); err == nil && names[b.AOR] {
			return true
		}
	}
	return false
}

// watchHour lets a ring run for an hour of virtual time, looking each minute
// whether it is over.
func watchHour(over func() bool) time.Duration {
	for m := range 60 {
		<-time.After(time.Minute)
		synctest.Wait()
		if over() {
			return time.Duration(m+1) * time.Minute
		}
	}
	return time.Hour
}

// withholders runs a ring of which some holders withhold, and returns how many
// were found within the hour, of how many that withheld anything, and how long the
// last one took.
func withholders(t *testing.T, seed uint64, nodes, bad int) (found, all int, last time.Duration) {
	h := newWatch()
	inVirtualTimeWith(t, seed, nodes, func(w *vring) { w.watch = h }, func(t *testing.T, w *vring) {
		h.refresh(w)
		live := w.live()
		liars := map[identity.NodeID]*lies{}
		for i := range bad {
			at := i * len(live) / bad
			for liars[live[at].self.ID] != nil || !canWithhold(w, live[at]) {
				at = (at + 1) % len(live)
			}
			liars[live[at].self.ID] = h.withhold(w, live[at], i%waysToWithhold)
		}
		known := func(id identity.NodeID) bool {
			if liars[id].evictors.Load() > 0 {
				return true
			}
			for _, v := range live {
				if v.guard.Withheld()[id] > 0 {
					return true
				}
			}
			return false
		}
		last = watchHour(func() bool {
			found = 0
			for id := range liars {
				if known(id) {
					found++
				}
			}
			return found == bad
		})
		t.Log(h.refused.all())
		for id, l := range liars {
			t.Logf("%s, way %d: %d lies, evicted by %d", id.Short(), l.way, l.attacks.Load(), l.evictors.Load())
			if l.attacks.Load() > 0 {
				all++
			}
		}
		if all < bad-1 { // now and then nobody asks one of them for anything in the hour
			t.Errorf("only %d of %d withheld anything", all, bad)
		}
	})
	return found, all, last
}

// E1: holders that withhold from half of the members, however they answer when
// they are to sign for it, are found by the owners of the records.
func TestMatrixE1WithholdersAreFound(t *testing.T) {
	found, all, last := withholders(t, 71, 12, 4)
	t.Logf("matrix: E1 holders that withhold from half of the members, found within the hour: %d of %d, the last after %v", found, all, last)
	if found < all-2 { // each is found with more than 99 %
		t.Errorf("%d of %d found", found, all)
	}
}

// E1: what owners spend on looking they save in part, since a round of repair
// passes by what another was given lately.
func TestMatrixE1LookingIsCheap(t *testing.T) {
	const nodes = 10
	h := newWatch()
	h.metered = true
	inVirtualTimeWith(t, 72, nodes, func(w *vring) { w.watch = h }, func(t *testing.T, w *vring) {
		h.refresh(w)
		<-time.After(5 * time.Minute) // all have got to know each other
		figures := func() [5]int64 {
			return [5]int64{h.bytes.Load(), h.overhead.Load(), h.fetched.Load(), h.fetches.Load(), h.saved.Load()}
		}
		before := figures()
		<-time.After(40 * time.Minute)
		n := figures()
		for i := range n {
			n[i] -= before[i]
		}
		saved := n[4] * n[2] / max(n[3], 1)
		share := float64(n[1]-saved) / float64(n[0])
		t.Logf("matrix: E1 bytes a second and node: %d in all, %.1f for looking, %.1f saved by it: %.2f %%",
			n[0]/nodes/2400, float64(n[1])/nodes/2400, float64(saved)/nodes/2400, 100*share)
		if share > 0.01 || n[1] == 0 {
			t.Errorf("looking takes %.2f %% of the traffic", 100*share)
		}
	})
}
