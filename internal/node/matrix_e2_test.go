package node_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// twoFaces makes a node describe itself to half of the others otherwise than to
// the rest, under the same number.
func (h *watch) twoFaces(v *vnode, overlay string) *lies {
	h.mu.Lock()
	key := h.keys[v.self.ID]
	h.mu.Unlock()
	l := &lies{}
	mask := func(to identity.NodeID, list []wire.Descriptor) []wire.Descriptor {
		if (to[3]^v.self.ID[3])&1 == 0 {
			return list
		}
		out := append([]wire.Descriptor(nil), list...)
		for i := range out {
			if out[i].ID == v.self.ID {
				out[i].Lifetime++
				out[i], _ = wire.SignDescriptor(out[i], overlay, key)
				l.attacks.Add(1)
			}
		}
		return out
	}
	l.call = func(_ *vnode, to identity.NodeID, req wire.Message) wire.Message {
		g, ok := req.(*wire.Gossip)
		if !ok {
			return req
		}
		out := &wire.Gossip{Groups: append([]wire.News(nil), g.Groups...)}
		for i := range out.Groups {
			out.Groups[i].Descs = mask(to, out.Groups[i].Descs)
		}
		return out
	}
	l.serve = func(_ context.Context, _ *vnode, from wire.Peer, _ wire.Message, honest func() wire.Message) wire.Message {
		answer := honest()
		if m, ok := answer.(*wire.Members); ok {
			m.Descs = mask(from.ID, m.Descs)
		}
		return answer
	}
	h.mu.Lock()
	h.lies[v.self.ID] = l
	h.mu.Unlock()
	return l
}

// E2: a member that describes itself differently under one number is evicted by
// everybody within ten minutes, and nobody else is.
func TestMatrixE2Equivocator(t *testing.T) {
	h := newWatch()
	h.every = -1 // its records are kept well
	inVirtualTimeWith(t, 81, 16, func(w *vring) { w.watch = h }, func(t *testing.T, w *vring) {
		live := w.live()
		liar := live[5]
		l := h.twoFaces(liar, "lan.example")
		honest := int64(len(live) - 1)
		var took time.Duration
		for took = 0; l.evictors.Load() < honest && took < 20*time.Minute; took += 10 * time.Second {
			if took%(time.Minute) == 0 {
				liar.ring.Renew() // it says something new about itself
			}
			<-time.After(10 * time.Second)
			synctest.Wait()
		}
		t.Logf("matrix: E2 a member with two descriptors under one number: %d lies, evicted by %d of %d within %v", l.attacks.Load(), l.evictors.Load(), honest, took)
		if l.evictors.Load() != honest || took > 10*time.Minute || l.attacks.Load() == 0 {
			t.Errorf("%d lies; evicted by %d of %d after %v", l.attacks.Load(), l.evictors.Load(), honest, took)
		}
		for _, v := range live {
			if v != liar && !v.guard.Evicted(liar.self.ID) {
				t.Errorf("%s still calls it", v.self.ID.Short())
			}
			for _, it := range v.guard.Items() {
				if f, err := v.guard.Check(it.Proof); err != nil || f.Node != liar.self.ID {
					t.Errorf("the evidence of %s does not hold: %+v, %v", v.self.ID.Short(), f, err)
				}
			}
		}
		w.await("the others are one ring without it", 5*time.Minute, func() error {
			var rest []*vnode
			for _, v := range live {
				if v != liar {
					rest = append(rest, v)
				}
			}
			return idealNodes(rest)
		})
	})
}

// E2: a holder that signs for some that it has a record and for others that it
// has not is evicted by everybody within ten minutes of the first proof.
func TestMatrixE2TwoFacedHolder(t *testing.T) {
	h := newWatch()
	h.every = 30 * time.Second
	inVirtualTimeWith(t, 82, 12, func(w *vring) { w.watch = h }, func(t *testing.T, w *vring) {
		h.refresh(w)
		live := w.live()
		signed, two := h.withhold(w, live[2], signsDenial), h.withhold(w, live[8], playsTwo)
		honest := int64(len(live) - 1) // each other, too: what they prove is so
		took := watchHour(func() bool { return signed.evictors.Load() >= honest-1 && two.evictors.Load() >= honest-1 })
		t.Logf("matrix: E2 holders that sign contradictions: %d lies, evicted by %d and %d of %d within %v", signed.attacks.Load()+two.attacks.Load(), signed.evictors.Load(), two.evictors.Load(), honest-1, took)
		if signed.evictors.Load() < honest-1 || two.evictors.Load() < honest-1 || signed.attacks.Load() == 0 || two.attacks.Load() == 0 {
			t.Error("not evicted by all who are honest")
		}
	})
}
