package node

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// newsNet is nodes that have nothing but their bulletins, in virtual time. Each
// is connected to a few others and knows all.
type newsNet struct {
	t      *testing.T
	issuer *identity.Issuer
	nodes  []*newsNode
	at     map[identity.NodeID]*newsNode
	lost   int         // of a hundred messages
	apart  atomic.Bool // the even cannot reach the odd
	sent   atomic.Int64

	mu  sync.Mutex
	rng *rand.Rand
}

type newsNode struct {
	net   *newsNet
	i     int
	self  wire.Peer
	b     *bulletins
	links []wire.Peer

	mu      sync.Mutex
	refused map[string]int
}

// inNewsNet runs a test with n nodes that spread bulletins.
func inNewsNet(t *testing.T, seed uint64, n, lost int, test func(w *newsNet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		t.Logf("seed %d", seed)
		w := &newsNet{t: t, lost: lost, at: map[identity.NodeID]*newsNode{}, rng: rand.New(rand.NewPCG(seed, 5))}
		root, key := mustDo(identity.GenerateKey())(t), mustDo(identity.GenerateKey())(t)
		rootDER := mustDo(identity.NewRootCertificate(root, "lan.example", time.Now()))(t)
		cert := mustDo(identity.IssueIssuerCertificate(root, rootDER, key.Public(), time.Now()))(t)
		w.issuer = mustDo(identity.NewIssuer(key, cert))(t)
		charter := identity.DefaultCharter("lan.example", root.Public(), time.Now())
		for i := range n {
			v := &newsNode{net: w, i: i, self: wire.Peer{ID: identity.HashID(fmt.Sprint(i))}, refused: map[string]int{}}
			trust := mustDo(identity.NewTrust(rootDER, charter))(t)
			v.b = newBulletins(trust.Board(), time.Now, time.Now, v.refuse)
			w.nodes = append(w.nodes, v)
			w.at[v.self.ID] = v
		}
		ctx, stop := context.WithCancel(t.Context())
		var work sync.WaitGroup
		for _, v := range w.nodes {
			for range 8 {
				if o := w.nodes[w.draw(n)]; o != v {
					v.links = append(v.links, o.self)
				}
			}
			work.Go(func() { v.b.run(ctx, v, v.call) })
		}
		defer work.Wait()
		defer stop()
		test(w)
	})
}

func mustDo[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func (w *newsNet) draw(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rng.IntN(n)
}

func (v *newsNode) refuse(reason string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.refused[reason]++
}

func (v *newsNode) refusals() (n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, c := range v.refused {
		n += c
	}
	return n
}

func (v *newsNode) connected() []wire.Peer { return slices.Clone(v.links) }

func (v *newsNode) known() (out []wire.Peer) {
	for _, o := range v.net.nodes {
		if o != v {
			out = append(out, o.self)
		}
	}
	return out
}

// call delivers a message after some time, or loses it.
func (v *newsNode) call(ctx context.Context, to wire.Peer, req wire.Message) (wire.Message, error) {
	w := v.net
	w.sent.Add(1)
	o := w.at[to.ID]
	if o == nil {
		return nil, errors.New("no such node")
	}
	wait := time.After(time.Duration(1+w.draw(80)) * time.Millisecond)
	if w.apart.Load() && v.i%2 != o.i%2 || w.draw(100) < w.lost {
		wait = nil
	}
	select {
	case <-wait:
		return o.b.serve(v.self.ID, req), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// revocation is one of a node key that nobody has.
func (w *newsNet) revocation(nr byte) identity.SignedBulletin {
	w.t.Helper()
	now := time.Now()
	return mustDo(identity.SignBulletin(identity.Bulletin{
		Overlay: "lan.example", Kind: identity.RevokeNode, Subject: identity.KeyDigest{nr},
		Issued: now.UnixMilli(), Until: now.Add(300 * 24 * time.Hour).UnixMilli(),
	}, w.issuer.Key(), w.issuer.Certificate()))(w.t)
}

// spread waits until all nodes that should have a bulletin do, and returns how
// long that took.
func (w *newsNet) spread(what string, s identity.SignedBulletin, among func(*newsNode) bool, limit time.Duration) time.Duration {
	w.t.Helper()
	id, began := s.ID(), time.Now()
	for {
		synctest.Wait()
		missing := 0
		for _, v := range w.nodes {
			if among(v) && v.b.board.Get(id) == nil {
				missing++
			}
		}
		took := time.Since(began)
		if missing == 0 {
			return took
		}
		if took > limit {
			w.t.Fatalf("%s: %d nodes do not know of it after %v", what, missing, took)
		}
		<-time.After(100 * time.Millisecond)
	}
}

func everybody(*newsNode) bool { return true }

// TestMatrixA7EverybodyKnowsWithinMinutes: a revocation reaches every node
// within five minutes, where a fifth of all messages is lost, too; and after
// twenty minutes of partition within five minutes of its end.
func TestMatrixA7EverybodyKnowsWithinMinutes(t *testing.T) {
	const limit = 5 * time.Minute
	inNewsNet(t, 7, 150, 20, func(w *newsNet) {
		<-time.After(time.Minute)
		first := w.revocation(1)
		if fresh, err := w.nodes[0].b.take(identity.NodeID{}, []identity.SignedBulletin{first}); err != nil || fresh != 1 {
			t.Fatal(fresh, err)
		}
		t.Logf("matrix: A7 a revocation is with all of 150 nodes, a fifth of the messages lost, after: %v", w.spread("all", first, everybody, limit))
		w.apart.Store(true)
		<-time.After(time.Minute)
		second := w.revocation(2)
		if _, err := w.nodes[0].b.take(identity.NodeID{}, []identity.SignedBulletin{second}); err != nil {
			t.Fatal(err)
		}
		w.spread("half", second, func(v *newsNode) bool { return v.i%2 == 0 }, limit)
		<-time.After(20 * time.Minute)
		for _, v := range w.nodes {
			if v.i%2 == 1 && v.b.board.Get(second.ID()) != nil {
				t.Fatal("there was no partition")
			}
		}
		w.apart.Store(false)
		t.Logf("matrix: A7 and with all after a partition has ended: %v", w.spread("all after the partition", second, everybody, limit))
		sent := w.sent.Load()
		<-time.After(10 * time.Minute)
		perNode := float64(w.sent.Load()-sent) / float64(len(w.nodes)) / 600
		if perNode > 0.1 {
			t.Errorf("%.2f messages a second and node while nothing is new", perNode)
		}
	})
}

// TestMatrixA7LiarsSpreadNothing: nodes that push forged and foreign bulletins
// all the time put none on anybody's board, and keep no true one from spreading.
func TestMatrixA7LiarsSpreadNothing(t *testing.T) {
	inNewsNet(t, 8, 40, 0, func(w *newsNet) {
		var attacks atomic.Int64
		ctx, stop := context.WithCancel(w.t.Context())
		defer stop()
		for _, liar := range w.nodes[:8] {
			go func() {
				for nr := byte(1); ctx.Err() == nil; nr++ {
					bad := w.revocation(nr | 0x80)
					bad.Signed[len(bad.Signed)-1] ^= 1
					for _, to := range liar.links {
						attacks.Add(1)
						_, _ = liar.call(ctx, to, &wire.Post{Items: slices.Repeat([]identity.SignedBulletin{bad}, wire.MaxItems)})
					}
				}
			}()
		}
		<-time.After(3 * time.Second)
		good := w.revocation(1)
		if _, err := w.nodes[30].b.take(identity.NodeID{}, []identity.SignedBulletin{good}); err != nil {
			t.Fatal(err)
		}
		took := w.spread("the true one", good, everybody, 5*time.Minute)
		refused := 0
		for _, v := range w.nodes {
			refused += v.refusals()
			if n := v.b.board.Len(); n != 1 {
				t.Errorf("%d bulletins at node %d", n, v.i)
			}
		}
		if attacks.Load() == 0 || refused == 0 {
			t.Errorf("%d attacks, %d refused", attacks.Load(), refused)
		}
		t.Logf("matrix: A7 forged bulletins on boards: 0 of %d pushed; the true one is everywhere after %v", attacks.Load()*wire.MaxItems, took)
	})
}

// A partner that names bulletins without end, or gives others than it was asked
// for, costs a bounded number of questions.
func TestComparingWithALiarEnds(t *testing.T) {
	inNewsNet(t, 9, 2, 0, func(w *newsNet) {
		honest, nr, asked := w.nodes[0], byte(0), 0
		liar := func(_ context.Context, _ wire.Peer, req wire.Message) (wire.Message, error) {
			asked++
			if m := req.(*wire.GetBulletins); len(m.Want) > 0 {
				nr++
				return &wire.Bulletins{Items: []identity.SignedBulletin{w.revocation(nr)}}, nil
			}
			out := &wire.Bulletins{}
			for i := range wire.MaxBulletinIDs {
				out.IDs = append(out.IDs, identity.BulletinID{byte(asked), byte(i >> 8), byte(i)})
			}
			return out, nil
		}
		if err := honest.b.compare(w.t.Context(), w.nodes[1].self, liar); err != nil {
			t.Fatal(err)
		}
		if asked != askMost || honest.b.board.Len() != 0 {
			t.Errorf("%d questions, %d bulletins that nobody asked for", asked, honest.b.board.Len())
		}
	})
}
