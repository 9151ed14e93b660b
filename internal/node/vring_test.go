package node_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secp2psip/secp2psip/chord"
	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/evidence"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/node"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/wire"
)

var errUnreachable = errors.New("virtual network: no answer")

// vring is nodes on a virtual network in virtual time: each has the ring, the
// store and the directory of a real one, and instead of a link a call that takes
// a few milliseconds. Each is the node of one person.
type vring struct {
	*overlay
	mu     sync.Mutex
	rng    *rand.Rand
	nodes  map[identity.NodeID]*vnode
	apart  func(a, b identity.NodeID) bool // a cut; nil = none
	people map[identity.NodeID]*person     // by their node
	serial byte
	watch  *watch // nil: no node watches the others
}

type vnode struct {
	self  wire.Peer
	ring  *chord.Node
	store *record.Store
	dir   *directory.Directory
	guard *evidence.Guard // of a ring with a watch
	clock func() time.Time
	stop  func()
	dead  chan struct{}
}

// inVirtualTime runs a test with n nodes, whose records lie where they belong.
func inVirtualTime(t *testing.T, seed uint64, n int, test func(t *testing.T, w *vring)) {
	t.Helper()
	inVirtualTimeWith(t, seed, n, func(*vring) {}, test)
}

// inVirtualTimeWith changes what the ring is made of before.
func inVirtualTimeWith(t *testing.T, seed uint64, n int, change func(w *vring), test func(t *testing.T, w *vring)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		t.Logf("seed %d", seed)
		w := &vring{
			overlay: newOverlay(t), rng: rand.New(rand.NewPCG(seed, 21)),
			nodes: map[identity.NodeID]*vnode{}, people: map[identity.NodeID]*person{},
		}
		defer w.close()
		change(w)
		first := w.start(w.newPeer())
		synctest.Wait()
		first.ring.Create()
		var work sync.WaitGroup
		for range n - 1 {
			v := w.start(w.newPeer())
			work.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				if err := v.ring.Join(ctx, []wire.Peer{first.self}); err != nil {
					t.Errorf("join: %v", err)
				}
			})
		}
		work.Wait()
		w.await("one ideal ring", time.Minute, w.ideal)
		for _, v := range w.live() {
			w.people[v.self.ID] = w.enrol(fmt.Sprintf("user%d", len(w.people)), v.self)
		}
		for _, v := range w.live() {
			if _, err := v.dir.PublishAll(t.Context(), w.people[v.self.ID].records); err != nil {
				t.Fatalf("publish: %v", err)
			}
		}
		w.await("every record in its place", 2*time.Minute, func() error { return w.placed(nil) })
		for _, v := range w.live() {
			w.tend(v)
		}
		test(t, w)
	})
}

func (w *vring) newPeer() wire.Peer {
	w.mu.Lock()
	defer w.mu.Unlock()
	var id identity.NodeID
	binary.BigEndian.PutUint64(id[:], w.rng.Uint64())
	binary.BigEndian.PutUint64(id[8:], w.rng.Uint64())
	w.serial++
	at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, id[0], id[1], id[2]}), 4000)
	return wire.Peer{ID: id, Owner: identity.OwnerTag{1, w.serial}, Addrs: []netip.AddrPort{at}}
}

// start runs a node that is not a member yet, with what a store holds that is
// given.
func (w *vring) start(self wire.Peer, held ...record.Record) *vnode {
	w.t.Helper()
	t := w.t
	v := &vnode{self: self, dead: make(chan struct{}), clock: time.Now}
	now := func() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return v.clock() }
	v.store = must(record.OpenStore(record.StoreConfig{Trust: w.trust, Now: now}))(t)
	for _, r := range held {
		_, _, _ = v.store.Put(r)
	}
	cfg := chord.Config{
		Self: self, Transport: vlink{w, v}, Records: v.store, Charter: w.trust.Charter(), Now: now,
		Seed: 1 + binary.BigEndian.Uint64(self.ID[:]),
	}
	dir := directory.Config{Trust: w.trust, Now: now, Self: self.Owner}
	if w.watch != nil {
		w.watch.over(w, v, &cfg, &dir)
	}
	v.ring = must(chord.New(cfg))(t)
	dir.Ring = node.RingView(v.ring, v.store)
	v.dir = must(directory.New(dir))(t)
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	work.Go(func() { _ = v.ring.Run(ctx) })
	work.Go(func() { _ = v.dir.Run(ctx) })
	work.Go(func() { _ = v.store.Run(ctx) })
	if v.guard != nil {
		work.Go(func() { _ = v.guard.Run(ctx) })
	}
	v.stop = sync.OnceFunc(func() {
		w.mu.Lock()
		delete(w.nodes, self.ID)
		w.mu.Unlock()
		close(v.dead)
		cancel()
		work.Wait()
	})
	w.mu.Lock()
	w.nodes[self.ID] = v
	w.mu.Unlock()
	return v
}

// repairLook is how often an owner looks whether its records are due.
const repairLook = 10 * time.Second

// tend lets an owner look after its records as an adapter does.
func (w *vring) tend(v *vnode) {
	w.mu.Lock()
	phase := time.Duration(w.rng.Int64N(int64(repairLook)))
	w.mu.Unlock()
	go func() {
		var s directory.Schedule
		ctx, cancel := context.WithCancel(w.t.Context())
		defer cancel()
		for wait := phase; ; wait = repairLook {
			select {
			case <-v.dead:
				return
			case <-time.After(wait):
			}
			members := v.ring.Status().Members
			if s.Due(time.Now(), members) {
				s.Begin(time.Now(), members)
				w.mu.Lock()
				own := slices.Clone(w.people[v.self.ID].records)
				w.mu.Unlock()
				s.Done(time.Now(), v.dir.Repair(ctx, own))
			}
		}
	}()
}

func (w *vring) close() {
	for _, v := range w.live() {
		v.stop()
	}
}

// live returns the running nodes in the order of their IDs.
func (w *vring) live() []*vnode {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]*vnode, 0, len(w.nodes))
	for _, v := range w.nodes {
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b *vnode) int { return a.self.ID.Compare(b.self.ID) })
	return out
}

func (w *vring) ideal() error { return idealNodes(w.live()) }

func idealNodes(nodes []*vnode) error {
	var rings []*chord.Node
	for _, v := range nodes {
		rings = append(rings, v.ring)
	}
	return idealRings(rings)
}

// await waits in virtual time.
func (w *vring) await(what string, limit time.Duration, check func() error) time.Duration {
	w.t.Helper()
	start := time.Now()
	for {
		synctest.Wait()
		err := check()
		took := time.Since(start)
		if err == nil {
			return took
		}
		if took > limit {
			w.t.Fatalf("%s: not after %v: %v", what, took, err)
		}
		<-time.After(100 * time.Millisecond)
	}
}

// holders returns who should keep what lies at pos: the responsible node and
// the next. All nodes have owners of their own.
func holders(nodes []*vnode, pos identity.NodeID) [2]*vnode {
	i, _ := slices.BinarySearchFunc(nodes, pos, func(v *vnode, pos identity.NodeID) int { return v.self.ID.Compare(pos) })
	return [2]*vnode{nodes[i%len(nodes)], nodes[(i+1)%len(nodes)]}
}

// place is one position of a record.
type place struct {
	owner *person
	rec   record.Record
	body  record.Body
	res   identity.NodeID
	pos   identity.NodeID
}

// places returns all places of all people's records.
func (w *vring) places() (out []place) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.people {
		for _, r := range p.records {
			b := must(r.Body())(w.t)
			for _, pos := range record.PositionsOf(b, w.trust.Charter()) {
				out = append(out, place{p, r, b, record.Resource(p.aor, b.Kind), pos})
			}
		}
	}
	return out
}

// at reports whether a node holds the record of a place, or a newer one.
func (p *place) at(v *vnode) bool {
	for _, r := range v.store.Get(p.res, &p.body.Part) {
		if b, err := r.Body(); err == nil && b.Seq >= p.body.Seq {
			return true
		}
	}
	return false
}

// placed returns which record is not with both nodes that should keep it. Those
// that lost says are lost are left out.
func (w *vring) placed(lost map[identity.NodeID]bool) error {
	nodes := w.live()
	missing := 0
	var first error
	for _, p := range w.places() {
		for k, v := range holders(nodes, p.pos) {
			if !lost[p.pos] && !p.at(v) {
				if missing++; first == nil {
					first = fmt.Errorf("%s of %s is not at %s, holder %d of %s", p.body.Kind, p.owner.aor, v.self.ID.Short(), k, p.pos.Short())
				}
			}
		}
	}
	if first != nil {
		return fmt.Errorf("%d copies are missing: %w", missing, first)
	}
	return nil
}

// resolved counts whose names resolve, each asked at a random node of by.
func (w *vring) resolved(people []*person, by []*vnode) (found map[*person]bool) {
	found = map[*person]bool{}
	var mu sync.Mutex
	var work sync.WaitGroup
	for _, p := range people {
		v := by[w.draw(len(by))]
		work.Go(func() {
			res, err := v.dir.Resolve(w.t.Context(), p.aor, directory.Options{Fresh: true, NoPin: true})
			mu.Lock()
			defer mu.Unlock()
			found[p] = err == nil && res.Key == p.key.Public() && len(res.Devices) == 1 && res.Devices[0].Node == p.at.ID
		})
	}
	work.Wait()
	return found
}

func (w *vring) draw(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rng.IntN(n)
}

// everybody returns the people, in the order of their nodes.
func (w *vring) everybody() (out []*person) {
	for _, p := range w.people {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b *person) int { return a.at.ID.Compare(b.at.ID) })
	return out
}

// vlink is one node's end of the network.
type vlink struct {
	w *vring
	v *vnode
}

func (l vlink) Call(ctx context.Context, to wire.Peer, req wire.Message) (wire.Message, error) {
	target := l.w.reach(l.v, to.ID)
	if l.w.watch != nil {
		req = l.w.watch.outgoing(l.v, to.ID, req)
	}
	if !pass(ctx, l.w.latency()) {
		return nil, ctx.Err()
	}
	if target == nil {
		<-ctx.Done()
		return nil, errUnreachable
	}
	answer := target.serve(ctx, l.w, wire.Peer{ID: l.v.self.ID, Owner: l.v.self.Owner, Addrs: l.v.self.Addrs}, req)
	if !pass(ctx, l.w.latency()) {
		return nil, ctx.Err()
	}
	if l.w.reach(l.v, to.ID) != target {
		<-ctx.Done()
		return nil, errUnreachable
	}
	return answer, nil
}

// serve answers a message, as a node does with a watch or without.
func (v *vnode) serve(ctx context.Context, w *vring, from wire.Peer, req wire.Message) wire.Message {
	if w.watch != nil {
		return w.watch.serve(ctx, v, from, req)
	}
	return v.ring.Serve(ctx, from, req)
}

func (w *vring) reach(from *vnode, to identity.NodeID) *vnode {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.nodes[from.self.ID] != from || w.apart != nil && w.apart(from.self.ID, to) {
		return nil
	}
	return w.nodes[to]
}

// latency is that of a building: 0.5 to 2 ms one way.
func (w *vring) latency() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return 500*time.Microsecond + time.Duration(w.rng.Int64N(int64(1500*time.Microsecond)))
}

func pass(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
