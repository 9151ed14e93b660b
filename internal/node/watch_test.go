package node_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/secp2psip/secp2psip/chord"
	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/evidence"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/node"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// watch is what nodes of a virtual ring have beside ring, store and directory:
// certificates, descriptors, and the guard that looks for contradictions.
type watch struct {
	every   time.Duration // mean time between two looks; 0 = the product's
	metered bool          // bytes are counted, which takes a tenth of the time
	refused *counters

	mu    sync.Mutex
	keys  map[identity.NodeID]identity.PrivateKey
	certs map[identity.NodeID][][]byte
	lies  map[identity.NodeID]*lies // who answers otherwise than its code does

	bytes    atomic.Int64 // of all messages, with what UDP, IP and QUIC add
	overhead atomic.Int64 // of these, of the calls that guards make
	fetched  atomic.Int64 // of these, of fetches that rings make
	fetches  atomic.Int64
	saved    atomic.Int64 // fetches that repair did not make for what guards know
}

// lies are how a node deviates from the product's code, and how often it did.
type lies struct {
	serve    func(ctx context.Context, v *vnode, from wire.Peer, req wire.Message, honest func() wire.Message) wire.Message
	call     func(v *vnode, to identity.NodeID, req wire.Message) wire.Message // what it sends instead; nil = req
	way      int
	attacks  atomic.Int64
	evicted  sync.Map // by whom
	firstAt  atomic.Int64
	evictors atomic.Int64
}

// perPacket is what a message costs beside its bytes, on the way and for its
// acknowledgement: IP, UDP and QUIC.
const perPacket = 28 + 40

func newWatch() *watch {
	return &watch{
		refused: &counters{counts: map[string]int{}}, keys: map[identity.NodeID]identity.PrivateKey{},
		certs: map[identity.NodeID][][]byte{}, lies: map[identity.NodeID]*lies{},
	}
}

// over gives a node its guard. Called before its ring is made.
func (h *watch) over(w *vring, v *vnode, ring *chord.Config, dir *directory.Config) {
	w.t.Helper()
	id := v.self.ID
	h.mu.Lock()
	if _, ok := h.keys[id]; !ok { // else it starts again
		key := must(identity.GenerateKey())(w.t)
		leaf := must(w.issuer.IssueNode(identity.NodeParams{
			Key: key.Public(), ID: id, Overlay: "lan.example", Owner: v.self.Owner,
			NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(90 * 24 * time.Hour),
		}))(w.t)
		h.keys[id], h.certs[id] = key, [][]byte{leaf, w.issuer.Certificate()}
	}
	key, chain := h.keys[id], h.certs[id]
	h.mu.Unlock()
	now := func() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return v.clock() }
	notary := must(node.NewNotary(w.trust, key, chain, func(string) {}))(w.t)
	link := vlink{w, v}
	looking := lookingLink{link}
	v.guard = must(evidence.New(evidence.Config{
		Self: id, Owner: v.self.Owner, Key: key, Chain: func() [][]byte { return chain }, Trust: w.trust, Now: now,
		Ring: func() evidence.Ring { return node.Watched(v.ring) }, Store: v.store, Notary: notary, Transport: looking,
		Every: h.every, Seed: 1 + uint64(id[0])<<8 + uint64(id[1]),
		Evicted: func(who identity.NodeID) {
			l := h.liar(who)
			if l == nil {
				w.t.Errorf("%s evicts the honest %s", id.Short(), who.Short())
				return
			}
			if _, twice := l.evicted.LoadOrStore(id, true); !twice {
				l.evictors.Add(1)
				l.firstAt.CompareAndSwap(0, time.Now().UnixNano())
			}
			v.ring.Suspect(who)
		},
		Log: zerolog.Nop(), Refused: func(reason string) { h.refused.count("evidence", reason) },
	}))(w.t)
	v.guard.Own(func() []record.Record {
		w.mu.Lock()
		defer w.mu.Unlock()
		if p := w.people[id]; p != nil {
			return slices.Clone(p.records)
		}
		return nil
	})
	ring.Transport = node.Guarded(link, v.guard)
	ring.Verifier, ring.Signer, ring.Collision = notary, notary, v.guard.Collision
	dir.Confirmed = func(pos identity.NodeID, part uint64, within time.Duration) bool {
		known := v.guard.Confirmed(pos, part, within)
		if known {
			h.saved.Add(1)
		}
		return known
	}
}

// lookingLink marks the calls that a guard makes.
type lookingLink struct{ vlink }

type looking struct{}

func (l lookingLink) Call(ctx context.Context, to wire.Peer, req wire.Message) (wire.Message, error) {
	return l.vlink.Call(context.WithValue(ctx, looking{}, true), to, req)
}

// refresh signs the registrations anew before they expire, as adapters do.
func (h *watch) refresh(w *vring) {
	for _, v := range w.live() {
		go func() {
			ctx, cancel := context.WithCancel(w.t.Context())
			defer cancel()
			for seq := uint64(2); ; seq++ {
				select {
				case <-v.dead:
					return
				case <-time.After(5 * time.Minute):
				}
				w.mu.Lock()
				p := w.people[v.self.ID]
				r := p.registration(seq)
				p.records[len(p.records)-1] = r
				w.mu.Unlock()
				_, _ = v.dir.Publish(ctx, r) // some holder may be a liar
			}
		}()
	}
}

// serve answers as a node does, or as a liar.
func (h *watch) serve(ctx context.Context, v *vnode, from wire.Peer, req wire.Message) wire.Message {
	honest := func() wire.Message {
		switch req.(type) {
		case *wire.Vouch, *wire.Peek, *wire.Accuse:
			return v.guard.Serve(ctx, from, req)
		}
		if v.guard.Evicted(from.ID) {
			return wire.Errorf(wire.CodeForbidden, "evicted")
		}
		return v.ring.Serve(ctx, from, req)
	}
	l := h.liar(v.self.ID)
	var answer wire.Message
	if l != nil && l.serve != nil {
		answer = l.serve(ctx, v, from, req, honest)
	} else {
		answer = honest()
	}
	if h.metered {
		h.count(ctx, req, answer)
	}
	return answer
}

// liar returns how a node deviates, nil if it does not.
func (h *watch) liar(id identity.NodeID) *lies {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lies[id]
}

// outgoing is what a node really sends.
func (h *watch) outgoing(v *vnode, to identity.NodeID, req wire.Message) wire.Message {
	if l := h.liar(v.self.ID); l != nil && l.call != nil {
		return l.call(v, to, req)
	}
	return req
}

// count adds a call's bytes to the traffic.
func (h *watch) count(ctx context.Context, req, answer wire.Message) {
	size := int64(2 * perPacket)
	for _, m := range []wire.Message{req, answer} {
		if b, err := wire.Encode(m); err == nil {
			size += int64(len(b))
		}
	}
	h.bytes.Add(size)
	switch _, fetch := req.(*wire.Fetch); {
	case ctx.Value(looking{}) != nil:
		h.overhead.Add(size)
	case fetch:
		h.fetched.Add(size)
		h.fetches.Add(1)
	}
}
