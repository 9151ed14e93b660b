package adapter

import (
	"container/list"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/limits"
	"github.com/secp2psip/secp2psip/sipbridge"
)

// Bounds of the gate. A nonce must be remembered for as long as its time lies
// within the window on either side.
const (
	nonceLife    = 2 * callWindow
	maxNonces    = 50_000
	tokenLife    = time.Minute
	maxTokens    = 4_096
	tokenUses    = 2 // one attempt, and its repetition after a 401
	maxPairs     = 8_192
	maxNodes     = 2_048
	defaultBurst = limits.CallBurst

	nodeBursts  = 10               // INVITEs and texts of one node at once, in times of the burst of a pair
	nodeRate    = 10               // of them a second
	forgedEvery = 10 * time.Second // for one whose signature or sender is wrong, after a burst
)

// gate keeps out what is replayed, stale or too much, and knows the tokens of
// calls that may be carried. All of it is bounded; the oldest goes first.
//
// Everything is counted on the node that the link has proved, for the names in
// a request are not verified yet when it passes the gate: nobody uses up what
// others are allowed. Lifetimes are counted by the monotonic clock; only the
// time in a request is compared with the overlay's.
type gate struct {
	overlay func() time.Time
	mono    func() time.Time
	began   time.Time // by mono
	burst   int
	key     [32]byte // of challenges, of this run

	mu     sync.Mutex
	nonces *aging[[16]byte, struct{}]
	tokens *aging[[16]byte, *token]
	pairs  *aging[pair, *rate.Limiter]
	nodes  *aging[identity.NodeID, *nodeLimits]
}

// pair is who calls whom, from where.
type pair struct {
	node           identity.NodeID
	caller, callee string
}

type nodeLimits struct{ all, forged *rate.Limiter }

type token struct {
	in      sipbridge.Inbound
	node    identity.NodeID
	paths   []string // that the REDIRECT offers
	binding binding  // to the exchange, once the REDIRECT is signed
	left    int
}

func (g *gate) init(overlay func() time.Time, burst int) {
	if burst <= 0 {
		burst = defaultBurst
	}
	g.overlay, g.mono, g.began, g.burst = overlay, time.Now, time.Now(), burst
	rand.Read(g.key[:])
	g.nonces = newAging[[16]byte, struct{}](maxNonces, nonceLife)
	g.tokens = newAging[[16]byte, *token](maxTokens, tokenLife)
	g.pairs = newAging[pair, *rate.Limiter](maxPairs, time.Hour)
	g.nodes = newAging[identity.NodeID, *nodeLimits](maxNodes, time.Hour)
}

// allow counts one INVITE or text from a node, of a caller for a callee: a
// burst, then one a second. A node whose requests were forged is not heard for
// a while: each would cost a look-up.
func (g *gate) allow(from identity.NodeID, caller, callee string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.mono()
	limits := g.limitsLocked(from, now)
	if limits.forged.TokensAt(now) < 1 || !limits.all.AllowN(now, 1) {
		return false
	}
	key := pair{from, caller, callee}
	l, ok := g.pairs.get(key, now)
	if !ok {
		l = rate.NewLimiter(rate.Every(time.Second), g.burst)
		g.pairs.put(key, l, now)
	}
	return l.AllowN(now, 1)
}

func (g *gate) limitsLocked(node identity.NodeID, now time.Time) *nodeLimits {
	l, ok := g.nodes.get(node, now)
	if !ok {
		l = &nodeLimits{all: rate.NewLimiter(nodeRate, nodeBursts*g.burst), forged: rate.NewLimiter(rate.Every(forgedEvery), g.burst)}
		g.nodes.put(node, l, now)
	}
	return l
}

// forged notes that a node's request did not verify.
func (g *gate) forged(from identity.NodeID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.mono()
	g.limitsLocked(from, now).forged.AllowN(now, 1)
}

type verdict int

const (
	verdictGood verdict = iota
	verdictReplay
	verdictStale
)

// check looks at time and nonce of a signed request. A stale one may come
// again with the nonce of a challenge that we gave to the same node within
// the window; then its age does not matter.
func (g *gate) check(nonce, challenge [16]byte, from identity.NodeID, ms int64) verdict {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.mono()
	if g.overlay().Sub(time.UnixMilli(ms)).Abs() > callWindow && !g.challenged(challenge, from, now) {
		return verdictStale
	}
	if _, seen := g.nonces.get(nonce, now); seen {
		return verdictReplay
	}
	g.nonces.put(nonce, struct{}{}, now)
	return verdictGood
}

// challenge returns a nonce for a node whose clock disagrees with ours: a MAC
// over the node and the running minute, so that it needs no table.
func (g *gate) challenge(to identity.NodeID) [16]byte { return g.challengeAt(to, g.mono()) }

func (g *gate) challengeAt(to identity.NodeID, at time.Time) (c [16]byte) {
	h := hmac.New(sha256.New, g.key[:])
	h.Write(to[:])
	h.Write(binary.BigEndian.AppendUint64(nil, uint64((at.Sub(g.began)+callWindow)/callWindow)))
	copy(c[:], h.Sum(nil))
	return c
}

func (g *gate) challenged(c [16]byte, from identity.NodeID, now time.Time) bool {
	if c == [16]byte{} {
		return false
	}
	for _, at := range []time.Time{now, now.Add(-callWindow)} {
		want := g.challengeAt(from, at)
		if hmac.Equal(want[:], c[:]) {
			return true
		}
	}
	return false
}

// issueToken makes the token of one call attempt from the given node, good for
// the paths that are offered.
func (g *gate) issueToken(in sipbridge.Inbound, node identity.NodeID, paths []string) (t [16]byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	rand.Read(t[:])
	g.tokens.put(t, &token{in: in, node: node, paths: paths, left: tokenUses}, g.mono())
	return t
}

// bindToken ties a token to the exchange that it was given in.
func (g *gate) bindToken(t [16]byte, to binding) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if got, ok := g.tokens.get(t, g.mono()); ok {
		got.binding = to
	}
}

// redeemToken returns the call that a token stands for, if that node may still
// use it for a call on that path. A protected call needs the exchange's proof.
func (g *gate) redeemToken(t [16]byte, node identity.NodeID, path string, proof [32]byte) (in sipbridge.Inbound, to binding, refused string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	got, ok := g.tokens.get(t, g.mono())
	switch {
	case !ok || got.node != node || got.left == 0:
		return in, to, reasonBadToken
	case !slices.Contains(got.paths, path):
		return in, to, reasonOtherPath
	case path == sipbridge.PathProtected && (got.binding == binding{} || !hmac.Equal(proof[:], got.binding.proof[:])):
		return in, to, reasonBadProof
	}
	got.left--
	in = got.in
	in.Path = path
	return in, got.binding, ""
}

// aging is a map whose entries end after a time and whose oldest goes when it
// is full. Not safe for concurrent use.
type aging[K comparable, V any] struct {
	most  int
	life  time.Duration
	items map[K]*list.Element
	order *list.List // of agingEntry, oldest first
}

type agingEntry[K comparable, V any] struct {
	key K
	val V
	at  time.Time
}

func newAging[K comparable, V any](most int, life time.Duration) *aging[K, V] {
	return &aging[K, V]{most, life, map[K]*list.Element{}, list.New()}
}

func (m *aging[K, V]) get(k K, now time.Time) (v V, ok bool) {
	e, ok := m.items[k]
	if !ok {
		return v, false
	}
	entry := e.Value.(agingEntry[K, V])
	if now.Sub(entry.at) > m.life {
		return v, false
	}
	return entry.val, true
}

func (m *aging[K, V]) put(k K, v V, now time.Time) {
	if e, ok := m.items[k]; ok {
		m.order.Remove(e)
	}
	m.items[k] = m.order.PushBack(agingEntry[K, V]{k, v, now})
	for m.order.Len() > 0 {
		first := m.order.Front()
		entry := first.Value.(agingEntry[K, V])
		if m.order.Len() <= m.most && now.Sub(entry.at) <= m.life {
			break
		}
		m.order.Remove(first)
		delete(m.items, entry.key)
	}
}
