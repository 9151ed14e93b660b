package ringdir_test

import (
	"context"
	"encoding/binary"
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
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/ringdir"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// lan is nodes on a virtual network, each with a store, a directory and one
// owner who looks after the records of one name.
type lan struct {
	t     *testing.T
	plan  *rand.Rand // of the test itself
	mu    sync.Mutex
	rng   *rand.Rand // of the network
	nodes map[identity.NodeID]*host
}

type host struct {
	lan   *lan
	self  wire.Peer
	ring  *chord.Node
	dir   *directory.Directory
	store *shelf
	mu    sync.Mutex
	own   []record.Record
	stop  context.CancelFunc
	done  sync.WaitGroup
}

// shelf is a store that believes everything: this is about where records lie.
type shelf struct {
	mu   sync.Mutex
	recs map[place]held
}

type place struct {
	res  identity.NodeID
	part uint64
}

type held struct {
	rec record.Record
	seq uint64
}

func (s *shelf) Put(r record.Record) (record.Outcome, *record.Verified, error) {
	b, err := r.Body()
	if err != nil {
		return record.OutcomeInvalid, nil, err
	}
	v := &record.Verified{Body: b, Record: r}
	s.mu.Lock()
	defer s.mu.Unlock()
	at := place{identity.HashID(b.AOR, b.Kind.String()), b.Part}
	switch have, ok := s.recs[at]; {
	case ok && have.seq > b.Seq:
		return record.OutcomeStale, v, record.ErrStale
	case ok && have.seq == b.Seq:
		return record.OutcomeSame, v, nil
	}
	s.recs[at] = held{r, b.Seq}
	return record.OutcomeStored, v, nil
}

func (s *shelf) Get(res identity.NodeID, part *uint64) (out []record.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for at, h := range s.recs {
		if at.res == res && (part == nil || *part == at.part) {
			out = append(out, h.rec)
		}
	}
	return out
}

func (s *shelf) All() (out []record.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.recs {
		out = append(out, h.rec)
	}
	return out
}

func (s *shelf) Drop(res identity.NodeID, _ record.Kind, part uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.recs, place{res, part})
}

func (s *shelf) has(res identity.NodeID, part uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.recs[place{res, part}]
	return ok
}

// Call implements chord.Transport: half a round trip each way, and no answer
// from those who are gone.
func (h *host) Call(ctx context.Context, to wire.Peer, req wire.Message) (wire.Message, error) {
	h.lan.mu.Lock()
	target := h.lan.nodes[to.ID]
	half := time.Millisecond + time.Duration(h.lan.rng.Int64N(int64(4*time.Millisecond)))
	h.lan.mu.Unlock()
	if target == nil {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	for range 2 {
		select {
		case <-time.After(half):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return target.ring.Serve(ctx, h.self, req), nil
}

// ringOf is a node's ring in the directory's words.
type ringOf struct{ *host }

func (r ringOf) Store(ctx context.Context, pos identity.NodeID, rec record.Record) ([]directory.Holder, error) {
	return ringdir.Stored(r.ring.Store(ctx, pos, rec))
}

func (r ringOf) Fetch(ctx context.Context, pos, res identity.NodeID, part *uint64) (directory.Answer, error) {
	a, err := r.ring.Fetch(ctx, pos, res, part)
	return ringdir.Fetched(a), err
}

func (r ringOf) Size() int { return r.ring.Status().Members }

func (l *lan) add(i int, trust *identity.Trust) *host {
	l.t.Helper()
	h := &host{lan: l, store: &shelf{recs: make(map[place]held)}}
	binary.BigEndian.PutUint64(h.self.ID[:], l.plan.Uint64())
	h.self.Owner = identity.OwnerTag{1, byte(i)}
	h.self.Addrs = []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 1, byte(i)}), 4000)}
	var err error
	h.ring, err = chord.New(chord.Config{
		Self: h.self, Transport: h, Records: h.store, Charter: trust.Charter(), Seed: l.plan.Uint64(),
	})
	if err == nil {
		h.dir, err = directory.New(directory.Config{Ring: ringOf{h}, Trust: trust, Self: h.self.Owner})
	}
	if err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	h.stop = cancel
	l.mu.Lock()
	l.nodes[h.self.ID] = h
	l.mu.Unlock()
	h.done.Go(func() { _ = h.ring.Run(ctx) })
	h.done.Go(func() { _ = h.dir.Run(ctx) })
	h.done.Go(func() { h.tend(ctx) })
	return h
}

// tend does what an owner does: it looks every ten seconds whether its records
// need it.
func (h *host) tend(ctx context.Context) {
	var s directory.Schedule
	for {
		select {
		case <-time.After(10 * time.Second):
		case <-ctx.Done():
			return
		}
		members := h.ring.Status().Members
		if !s.Due(time.Now(), members) {
			continue
		}
		h.mu.Lock()
		own := h.own
		h.mu.Unlock()
		s.Begin(time.Now(), members)
		s.Done(time.Now(), h.dir.Repair(ctx, own))
	}
}

func (h *host) kill() {
	h.lan.mu.Lock()
	delete(h.lan.nodes, h.self.ID)
	h.lan.mu.Unlock()
	h.stop()
	h.done.Wait()
}

// sorted returns the live nodes in the order of the circle.
func (l *lan) sorted() []*host {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []*host
	for _, h := range l.nodes {
		out = append(out, h)
	}
	slices.SortFunc(out, func(a, b *host) int { return a.self.ID.Compare(b.self.ID) })
	return out
}

// holders returns the two nodes that should keep what lies at pos.
func holders(nodes []*host, pos identity.NodeID) []*host {
	i, _ := slices.BinarySearchFunc(nodes, pos, func(h *host, pos identity.NodeID) int { return h.self.ID.Compare(pos) })
	return []*host{nodes[i%len(nodes)], nodes[(i+1)%len(nodes)]}
}

// spot is a record at one of its positions.
type spot struct {
	res  identity.NodeID
	part uint64
	pos  identity.NodeID
}

func spots(t *testing.T, c identity.Charter, recs []record.Record) (out []spot) {
	for _, r := range recs {
		b, err := r.Body()
		if err != nil {
			t.Fatal(err)
		}
		for _, pos := range record.PositionsOf(b, c) {
			out = append(out, spot{identity.HashID(b.AOR, b.Kind.String()), b.Part, pos})
		}
	}
	return out
}

// missing returns how many of the spots lack one of their holders.
func missing(nodes []*host, all []spot) (count int) {
	for _, s := range all {
		for _, h := range holders(nodes, s.pos) {
			if !h.store.has(s.res, s.part) {
				count++
				break
			}
		}
	}
	return count
}

// recordsOf returns ten shares, an account and a registration that nobody
// verifies.
func recordsOf(t *testing.T, i int) (out []record.Record) {
	key, err := identity.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	b := record.Body{AOR: fmt.Sprintf("sip:u%d@lan.example", i), Seq: 1, Time: 1, Lifetime: 900, Expires: 900_001, Data: make([]byte, 100)}
	add := func(k record.Kind, part uint64) {
		b.Kind, b.Part = k, part
		r, err := record.Sign(b, key, record.Chain{})
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	for x := range uint64(10) {
		add(record.KindShare, x+1)
	}
	add(record.KindAccount, 0)
	add(record.KindRegistration, 1)
	return out
}

// D6: 64 nodes, each of another owner who has one name;
// 30 % of them die at once. Within 60 s every record that one of its holders or
// its owner still has lies with both holders of each of its positions.
func TestMatrixD6ThirtyPercentKilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { thirtyPercent(t, 640) })
}

func thirtyPercent(t *testing.T, seed uint64) {
	const n = 64
	t.Logf("seed %d", seed)
	trust := newTrust(t)
	c := trust.Charter()
	l := &lan{
		t: t, plan: rand.New(rand.NewPCG(seed, 64)), rng: rand.New(rand.NewPCG(seed, 65)),
		nodes: make(map[identity.NodeID]*host),
	}
	defer func() {
		for _, h := range l.sorted() {
			h.kill()
		}
	}()
	first := l.add(0, trust)
	synctest.Wait()
	first.ring.Create()
	var joins sync.WaitGroup
	for i := 1; i < n; i++ {
		h := l.add(i, trust)
		joins.Go(func() {
			if err := h.ring.Join(t.Context(), []wire.Peer{first.self}); err != nil {
				t.Error(err)
			}
		})
	}
	joins.Wait()
	<-time.After(20 * time.Second)
	nodes := l.sorted()
	owner := map[spot]*host{}
	var all []spot
	for i, h := range nodes {
		h.mu.Lock()
		h.own = recordsOf(t, i)
		h.mu.Unlock()
		if _, err := h.dir.PublishAll(t.Context(), h.own); err != nil {
			t.Fatal(err)
		}
		for _, s := range spots(t, c, h.own) {
			owner[s] = h
			all = append(all, s)
		}
	}
	<-time.After(30 * time.Second)
	if m := missing(nodes, all); m > 0 {
		t.Fatalf("%d of %d not in place before the attack", m, len(all))
	}
	killed := n * 3 / 10
	for _, i := range l.plan.Perm(n)[:killed] {
		nodes[i].kill()
	}
	left := l.sorted()
	var able []spot
	orphaned := 0
	for _, s := range all {
		if slices.ContainsFunc(left, func(h *host) bool { return h == owner[s] || h.store.has(s.res, s.part) }) {
			able = append(able, s)
			continue
		}
		orphaned++
	}
	start := time.Now()
	hurt := missing(left, able)
	for time.Since(start) < time.Minute && missing(left, able) > 0 {
		<-time.After(time.Second)
	}
	took := time.Since(start)
	t.Logf("%d of %d nodes killed, %d of %d places hurt, %d lost with their owners: repaired after %v", killed, n, hurt, len(all), orphaned, took)
	if m := missing(left, able); m > 0 {
		t.Errorf("%d of %d not in place after %v", m, len(able), took)
	}
	t.Logf("matrix: D6 %d of %d nodes killed at once: %d of %d places hurt, all repaired after %v; %d lost with both holders and their owner", killed, n, hurt, len(all), took, orphaned)
	if hurt == 0 {
		t.Error("nothing was hurt")
	}
}

func newTrust(t *testing.T) *identity.Trust {
	t.Helper()
	root, err := identity.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	der, err := identity.NewRootCertificate(root, "lan.example", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	trust, err := identity.NewTrust(der, identity.DefaultCharter("lan.example", root.Public(), time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	return trust
}
