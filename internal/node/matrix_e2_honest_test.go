package node_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secp2psip/secp2psip/internal/canon"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// secondDevice gives a person another device at another node.
func (p *person) secondDevice(at wire.Peer) *person {
	p.o.t.Helper()
	t, now := p.o.t, time.Now()
	q := *p
	q.device, q.at = must(identity.GenerateKey())(t), at
	q.deleg = must(identity.Delegation{
		AOR: p.aor.String(), Device: q.device.Public(), Node: at.ID, Part: 2,
		Issued: now.UnixMilli(), Expires: now.Add(90 * 24 * time.Hour).UnixMilli(),
	}.Sign(p.key))(t)
	return &q
}

// signed is a registration of a part, which says of itself what it may.
func (p *person) signed(part, seq uint64, features ...string) record.Record {
	p.o.t.Helper()
	data := must(canon.Marshal(record.Registration{Node: p.at.ID, Device: p.device.Public(), Addrs: p.at.Addrs, Features: features}))(p.o.t)
	return must(record.Sign(
		record.Body{AOR: p.aor.String(), Kind: record.KindRegistration, Part: part, Seq: seq, Time: time.Now().UnixMilli(), Lifetime: 900, Data: data},
		p.device, record.Chain{Certificates: [][]byte{p.cert, p.o.issuer.Certificate()}, Delegation: p.deleg}))(p.o.t)
}

// misfortune is what befalls honest nodes for so long: every few minutes one
// crashes and comes back with all that it held, with nothing, or with what it
// held long ago, now and then with a clock that has been set back; clocks of
// nodes that run on jump ahead and back; somebody has a second device;
// somebody's device was restored from a backup and signs anew what it had signed
// already.
func misfortune(t *testing.T, w *vring, rng *rand.Rand, length time.Duration) (crashes, conflicts, jumps int) {
	people := w.everybody()
	old := map[identity.NodeID][]record.Record{}
	gone := w.live()[0] // where the first one's second device is
	second := people[1].secondDevice(gone.self)
	seq := uint64(1000)
	for end := time.Now().Add(length); time.Now().Before(end); {
		live := w.live()
		v := live[rng.IntN(len(live))]
		was, at := v.store.All(), old[v.self.ID]
		old[v.self.ID] = was
		v.stop()
		<-time.After(time.Duration(10+rng.IntN(80)) * time.Second)
		held := [][]record.Record{was, nil, at}[rng.IntN(3)]
		back := w.start(v.self, held...)
		if rng.IntN(4) == 0 {
			w.setClock(back, -4*time.Minute)
		}
		w.rejoin(t, back)
		w.tend(back)
		crashes++
		if rng.IntN(3) == 0 {
			live := w.live()
			w.setClock(live[rng.IntN(len(live))], time.Duration(rng.IntN(481)-240)*time.Second)
			jumps++
		}

		seq++
		through := w.live()
		first, again := people[0].signed(1, seq, "protected"), people[0].signed(1, seq, "carried")
		for i, r := range []record.Record{first, again, second.signed(2, seq)} {
			if _, err := through[(i*3)%len(through)].dir.Publish(t.Context(), r); err != nil {
				conflicts++ // of the restored device with itself
			}
		}
		seq++
		if _, err := through[0].dir.Publish(t.Context(), people[0].signed(1, seq, "text")); err != nil {
			t.Logf("the repair of a conflict: %v", err)
		}
		<-time.After(time.Duration(60+rng.IntN(240)) * time.Second)
	}
	return crashes, conflicts, jumps
}

// setClock sets a node's overlay time so far ahead. Others take in what comes
// from up to five minutes ahead.
func (w *vring) setClock(v *vnode, ahead time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	v.clock = func() time.Time { return time.Now().Add(ahead) }
}

func (w *vring) rejoin(t *testing.T, v *vnode) {
	t.Helper()
	synctest.Wait()
	for range 20 {
		var seeds []wire.Peer
		for _, o := range w.live() {
			if o != v && len(seeds) < 4 {
				seeds = append(seeds, o.self)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		err := v.ring.Join(ctx, seeds)
		cancel()
		if err == nil {
			return
		}
	}
	t.Errorf("%s does not come back", v.self.ID.Short())
}

// honest runs an honest ring under misfortune. That nobody is evicted the watch
// sees to.
func honest(t *testing.T, seed uint64, nodes int, length time.Duration) {
	h := newWatch()
	h.every = time.Minute // five times as often as they do
	inVirtualTimeWith(t, seed, nodes, func(w *vring) { w.watch = h }, func(t *testing.T, w *vring) {
		h.refresh(w)
		crashes, conflicts, jumps := misfortune(t, w, rand.New(rand.NewPCG(seed, 5)), length)
		got := h.refused.all()
		t.Logf("matrix: E2 honest nodes evicted: %d in %.0f node-hours with %d crashes, %d conflicts of restored devices, %d jumps of clocks, two devices; withholding noted: %d",
			got["evidence/proven"], float64(nodes)*length.Hours(), crashes, conflicts, jumps, got["evidence/withheld"])
		if got["evidence/proven"]+got["evidence/self_accused"] > 0 || crashes == 0 || conflicts == 0 || jumps == 0 {
			t.Errorf("%v after %d crashes, %d conflicts and %d jumps", got, crashes, conflicts, jumps)
		}
	})
}

// E2: honest nodes are not evicted, whatever happens to them.
func TestMatrixE2HonestNodesStay(t *testing.T) { honest(t, 91, 8, 30*time.Minute) }
