package chord

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

	"github.com/secp2psip/secp2psip/chord/zave"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/wire"
)

var errLost = errors.New("virtual network: no answer")

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// virtual is an in-memory network of nodes with latency, loss, crashes and
// partitions. It runs inside a synctest bubble.
type virtual struct {
	t       *testing.T
	mu      sync.Mutex
	rng     *rand.Rand
	latency time.Duration // one way, give or take half
	loss    float64       // of a request or an answer
	nodes   map[ID]*vnode
	side    map[ID]int // partition
	calls   map[wire.Type]int
	refused map[string]int
}

type vnode struct {
	*Node
	self  wire.Peer
	store *memory
	stop  context.CancelFunc
	done  chan struct{}
	lie   *liar // answers in its place
}

func newVirtual(t *testing.T, seed uint64) *virtual {
	t.Logf("seed %d", seed)
	return &virtual{
		t: t, rng: rand.New(rand.NewPCG(seed, 1)), latency: 2 * time.Millisecond,
		nodes: map[ID]*vnode{}, side: map[ID]int{}, calls: map[wire.Type]int{}, refused: map[string]int{},
	}
}

func (w *virtual) randomID() ID {
	w.mu.Lock()
	defer w.mu.Unlock()
	var id ID
	binary.BigEndian.PutUint64(id[:], w.rng.Uint64())
	binary.BigEndian.PutUint64(id[8:], w.rng.Uint64())
	return id
}

func vpeer(id ID, owner byte) wire.Peer {
	return wire.Peer{
		ID: id, Owner: identity.OwnerTag{owner, 1},
		Addrs: []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, id[0], id[1], id[2]}), 4000)},
	}
}

// wireOf is one node's end of the network.
type wireOf struct {
	w    *virtual
	from wire.Peer
}

func (c wireOf) Call(ctx context.Context, to wire.Peer, req wire.Message) (wire.Message, error) {
	if len(to.Addrs) == 0 {
		return nil, errLost
	}
	n, ok := c.w.pass(c.from.ID, to.ID, req.Type())
	if !pause(ctx, c.w.delay()) {
		return nil, ctx.Err()
	}
	if !ok || !n.running() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	answer := c.w.serve(ctx, n, c.from, c.w.overTheWire(req))
	if !pause(ctx, c.w.delay()) {
		return nil, ctx.Err()
	}
	if _, ok := c.w.pass(to.ID, c.from.ID, answer.Type()); !ok || !n.running() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return c.w.overTheWire(answer), nil
}

// overTheWire shows of some messages that they can travel. The others are
// shared, which is fine for the race detector as long as nobody changes them.
func (w *virtual) overTheWire(m wire.Message) wire.Message {
	w.mu.Lock()
	skip := w.rng.IntN(16) > 0
	w.mu.Unlock()
	if skip {
		return m
	}
	b, err := wire.Encode(m)
	if err == nil {
		m, err = wire.Decode(b)
	}
	if err != nil {
		w.t.Errorf("%s does not travel: %v", m.Type(), err)
	}
	return m
}

func (w *virtual) serve(ctx context.Context, n *vnode, from wire.Peer, req wire.Message) wire.Message {
	w.mu.Lock()
	l := n.lie
	w.mu.Unlock()
	if l != nil {
		return l.answer(req)
	}
	return n.Serve(ctx, from, req)
}

func (w *virtual) delay() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.latency/2 + time.Duration(w.rng.Int64N(int64(w.latency)+1))
}

func (w *virtual) pass(from, to ID, what wire.Type) (*vnode, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls[what]++
	n := w.nodes[to]
	return n, n != nil && w.side[from] == w.side[to] && w.rng.Float64() >= w.loss
}

func (n *vnode) running() bool {
	select {
	case <-n.done:
		return false
	default:
		return true
	}
}

// start runs a node that is not a member yet.
func (w *virtual) start(id ID, owner byte, change func(*Config)) *vnode {
	w.t.Helper()
	self := vpeer(id, owner)
	v := &vnode{self: self, store: newMemory(), done: make(chan struct{})}
	cfg := Config{
		Self: self, Transport: wireOf{w, self}, Records: v.store,
		Charter: testCharter,
		Seed:    1 + uint64(id[0])<<8 + uint64(id[1]),
		Refused: func(reason string) {
			w.mu.Lock()
			w.refused[reason]++
			w.mu.Unlock()
		},
	}
	if change != nil {
		change(&cfg)
	}
	n, err := New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	v.Node = n
	ctx, cancel := context.WithCancel(context.Background())
	v.stop = cancel
	w.mu.Lock()
	w.nodes[id] = v
	w.mu.Unlock()
	go func() {
		defer close(v.done)
		if err := n.Run(ctx); err != nil {
			w.t.Errorf("Run: %v", err)
		}
	}()
	return v
}

// crash stops a node without a goodbye.
func (w *virtual) crash(v *vnode) {
	v.stop()
	<-v.done
	w.mu.Lock()
	delete(w.nodes, v.self.ID)
	w.mu.Unlock()
}

// close stops every node.
func (w *virtual) close() {
	for _, v := range w.live() {
		w.crash(v)
	}
}

// live returns the running nodes in the order of their IDs.
func (w *virtual) live() []*vnode {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]*vnode, 0, len(w.nodes))
	for _, v := range w.nodes {
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b *vnode) int { return a.self.ID.Compare(b.self.ID) })
	return out
}

// ring starts n nodes, of as many owners, that join through the first.
func (w *virtual) ring(n int) []*vnode {
	w.t.Helper()
	first := w.start(w.randomID(), 0, nil)
	synctest.Wait()
	first.Create()
	var joins sync.WaitGroup
	for i := 1; i < n; i++ {
		v := w.start(w.randomID(), byte(i), nil)
		joins.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			if err := v.Join(ctx, []wire.Peer{first.self}); err != nil {
				w.t.Errorf("join: %v", err)
			}
		})
	}
	joins.Wait()
	return w.live()
}

// ideal returns what keeps the live nodes from being an ideal ring.
func (w *virtual) ideal() error { return idealRing(w.live()) }

func idealRing(nodes []*vnode) error {
	n := len(nodes)
	for i, v := range nodes {
		st := v.Status()
		if pred := nodes[(i+n-1)%n].self.ID; st.Pred.ID != pred {
			return fmt.Errorf("%s: predecessor %s, not %s", st.Self.ID.Short(), st.Pred.ID.Short(), pred.Short())
		}
		want := min(n-1, zave.MaxSuccessors)
		if len(st.Succ) != want {
			return fmt.Errorf("%s: %d successors, not %d", st.Self.ID.Short(), len(st.Succ), want)
		}
		for k, s := range st.Succ {
			if next := nodes[(i+1+k)%n].self.ID; s.ID != next {
				return fmt.Errorf("%s: successor %d is %s, not %s", st.Self.ID.Short(), k, s.ID.Short(), next.Short())
			}
		}
	}
	return nil
}

// await waits until check returns nil, and returns how long that took.
func (w *virtual) await(limit time.Duration, check func() error) time.Duration {
	w.t.Helper()
	start := time.Now()
	for {
		err := check()
		took := time.Since(start)
		if err == nil {
			return took
		}
		if took > limit {
			w.t.Fatalf("after %v: %v", limit, err)
		}
		pause(context.Background(), 20*time.Millisecond)
		synctest.Wait()
	}
}

// memory is a store that believes everything.
type memory struct {
	mu   sync.Mutex
	recs map[ID]map[uint64]record.Record
}

func newMemory() *memory { return &memory{recs: map[ID]map[uint64]record.Record{}} }

func (s *memory) Put(r record.Record) (record.Outcome, *record.Verified, error) {
	b, err := r.Body()
	if err != nil {
		return record.OutcomeInvalid, nil, err
	}
	v := &record.Verified{Body: b, Record: r}
	s.mu.Lock()
	defer s.mu.Unlock()
	row := s.recs[v.Resource()]
	if row == nil {
		row = map[uint64]record.Record{}
		s.recs[v.Resource()] = row
	}
	if old, ok := row[b.Part]; ok {
		if ob, _ := old.Body(); ob.Seq > b.Seq {
			return record.OutcomeStale, v, record.ErrStale
		} else if ob.Seq == b.Seq {
			return record.OutcomeSame, v, nil
		}
	}
	row[b.Part] = r
	return record.OutcomeStored, v, nil
}

func (s *memory) Get(res ID, part *uint64) (out []record.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p, r := range s.recs[res] {
		if part == nil || *part == p {
			out = append(out, r)
		}
	}
	return out
}

func (s *memory) All() (out []record.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, row := range s.recs {
		for _, r := range row {
			out = append(out, r)
		}
	}
	return out
}

func (s *memory) Drop(res ID, _ record.Kind, part uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.recs[res], part)
}

// testCharter places the records of the tests.
var testCharter = identity.Charter{N: 10, K: 4, RegistrationReplicas: 4}

// share returns a record that nobody here verifies and that has one place.
func share(t testing.TB, user string, x, seq uint64) stored {
	t.Helper()
	aor, err := identity.ParseAOR("sip:" + user + "@lan.example")
	if err != nil {
		t.Fatal(err)
	}
	b := record.Body{AOR: aor.String(), Kind: record.KindShare, Part: x, Seq: seq, Time: 1, Lifetime: 900, Expires: 900_001, Data: []byte{1}}
	return signed(t, b)
}

// signed returns a record with a signature of nobody's.
func signed(t testing.TB, b record.Body) stored {
	t.Helper()
	key, err := identity.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	r, err := record.Sign(b, key, record.Chain{})
	if err != nil {
		t.Fatal(err)
	}
	return stored{rec: r, res: identity.HashID(b.AOR, b.Kind.String()), pos: record.PositionsOf(b, testCharter)[0], seq: b.Seq}
}
