package adapter

import (
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/sipbridge"
)

// clocks are the two that a gate reads.
type clocks struct{ overlay, mono time.Time }

func (c *clocks) pass(d time.Duration) { c.overlay, c.mono = c.overlay.Add(d), c.mono.Add(d) }

func newGate(burst int) (*gate, *clocks) {
	c := &clocks{time.Unix(1_700_000_000, 0), time.Unix(1_000, 0)}
	g := &gate{}
	g.init(func() time.Time { return c.overlay }, burst)
	g.mono, g.began = func() time.Time { return c.mono }, c.mono
	return g, c
}

func nonceOf(i int) (n [16]byte) {
	n[0], n[1], n[2] = byte(i), byte(i>>8), byte(i>>16)
	return n
}

var (
	nodeA = identity.HashID("a")
	nodeB = identity.HashID("b")
)

func TestGateForgetsNoNonceTooEarly(t *testing.T) {
	g, c := newGate(0)
	signed := c.overlay.UnixMilli()
	if v := g.check(nonceOf(1), [16]byte{}, nodeA, signed); v != verdictGood {
		t.Fatalf("a fresh one: %v", v)
	}
	for range 130 { // for as long as its time lies within the window, and beyond
		if v := g.check(nonceOf(1), [16]byte{}, nodeA, signed); v == verdictGood {
			t.Fatalf("replayed after %v", c.mono.Sub(g.began))
		}
		c.pass(time.Second)
	}
}

// TestGateWhenTheClockIsCorrected: overlay time that jumps ends no token and
// forgets no nonce.
func TestGateWhenTheClockIsCorrected(t *testing.T) {
	g, c := newGate(0)
	token := g.issueToken(sipbridge.Inbound{CallID: "x"}, nodeA, []string{sipbridge.PathCarried})
	g.check(nonceOf(1), [16]byte{}, nodeA, c.overlay.UnixMilli())
	for _, jump := range []time.Duration{50 * 365 * 24 * time.Hour, -100 * 365 * 24 * time.Hour} {
		c.overlay = c.overlay.Add(jump)
		if v := g.check(nonceOf(1), [16]byte{}, nodeA, c.overlay.UnixMilli()); v != verdictReplay {
			t.Errorf("after a jump by %v a replay is %v", jump, v)
		}
	}
	if in, _, refused := g.redeemToken(token, nodeA, sipbridge.PathCarried, [32]byte{}); refused != "" || in.CallID != "x" {
		t.Error("a token has ended with a jump of the clock")
	}
	c.pass(tokenLife + time.Second)
	if _, _, refused := g.redeemToken(token, nodeA, sipbridge.PathCarried, [32]byte{}); refused == "" {
		t.Error("a token outlives its time")
	}
}

// TestTokensServeOnlyWhatWasOffered: one path is no key to another, and a
// protected call needs the proof of the very exchange.
func TestTokensServeOnlyWhatWasOffered(t *testing.T) {
	g, _ := newGate(0)
	const carried, protected = sipbridge.PathCarried, sipbridge.PathProtected
	to := bind([32]byte{1}, [32]byte{2}, [32]byte{3})
	only := g.issueToken(sipbridge.Inbound{}, nodeA, []string{protected})
	unbound := g.issueToken(sipbridge.Inbound{}, nodeA, []string{protected, carried})
	g.bindToken(only, to)
	for _, tc := range []struct {
		what, path string
		token      [16]byte
		node       identity.NodeID
		proof      [32]byte
		want       string
	}{
		{"a downgrade", carried, only, nodeA, to.proof, reasonOtherPath},
		{"no proof", protected, only, nodeA, [32]byte{}, reasonBadProof},
		{"another link's proof", protected, only, nodeA, bind([32]byte{9}, [32]byte{2}, [32]byte{3}).proof, reasonBadProof},
		{"another INVITE's", protected, only, nodeA, bind([32]byte{1}, [32]byte{9}, [32]byte{3}).proof, reasonBadProof},
		{"another REDIRECT's", protected, only, nodeA, bind([32]byte{1}, [32]byte{2}, [32]byte{9}).proof, reasonBadProof},
		{"the flows' key", protected, only, nodeA, to.flows, reasonBadProof},
		{"another node", protected, only, nodeB, to.proof, reasonBadToken},
		{"a guess", protected, [16]byte{7}, nodeA, to.proof, reasonBadToken},
		{"before the REDIRECT is signed", protected, unbound, nodeA, [32]byte{}, reasonBadProof},
		{"what was offered", protected, only, nodeA, to.proof, ""},
		{"again, after a 401", protected, only, nodeA, to.proof, ""},
		{"a third time", protected, only, nodeA, to.proof, reasonBadToken},
		{"the other path of two", carried, unbound, nodeA, [32]byte{}, ""},
	} {
		if _, _, refused := g.redeemToken(tc.token, tc.node, tc.path, tc.proof); refused != tc.want {
			t.Errorf("%s: %q, want %q", tc.what, refused, tc.want)
		}
	}
}

func TestChallengesEnd(t *testing.T) {
	g, c := newGate(0)
	challenge := g.challenge(nodeA)
	stale := c.overlay.Add(-time.Hour).UnixMilli()
	if v := g.check(nonceOf(1), challenge, nodeB, stale); v != verdictStale {
		t.Errorf("another node's challenge: %v", v)
	}
	if v := g.check(nonceOf(2), challenge, nodeA, stale); v != verdictGood {
		t.Errorf("the fresh challenge: %v", v)
	}
	c.pass(callWindow)
	if v := g.check(nonceOf(3), challenge, nodeA, stale); v != verdictGood {
		t.Errorf("a challenge of a minute ago: %v", v)
	}
	c.pass(callWindow)
	if v := g.check(nonceOf(4), challenge, nodeA, stale); v != verdictStale {
		t.Errorf("a challenge of two minutes ago: %v", v)
	}
	other, _ := newGate(0)
	if v := other.check(nonceOf(5), challenge, nodeA, stale); v != verdictStale {
		t.Errorf("a challenge of another run: %v", v)
	}
}

func TestGateIsBounded(t *testing.T) {
	g, c := newGate(1_000_000)
	for i := range 2 * maxNonces {
		g.check(nonceOf(i), [16]byte{}, nodeA, c.overlay.UnixMilli())
	}
	for i := range 2 * maxTokens {
		g.issueToken(sipbridge.Inbound{}, identity.HashID(string(rune(i))), nil)
	}
	for i := range 2 * maxPairs {
		g.allow(identity.HashID(string(rune(i))), string(rune(i)), "bob")
	}
	for name, size := range map[string][2]int{
		"nonces": {len(g.nonces.items), maxNonces}, "tokens": {len(g.tokens.items), maxTokens},
		"pairs": {len(g.pairs.items), maxPairs}, "nodes": {len(g.nodes.items), maxNodes},
	} {
		if size[0] > size[1] {
			t.Errorf("%d %s are kept, the bound is %d", size[0], name, size[1])
		}
	}
	if g.nonces.order.Len() != len(g.nonces.items) {
		t.Error("the list and the map disagree")
	}
}

func TestWhoForgesIsNotHeardForAWhile(t *testing.T) {
	g, c := newGate(0)
	for range defaultBurst {
		if !g.allow(nodeA, "alice", "bob") {
			t.Fatal("refused before anything was forged")
		}
		g.forged(nodeA)
		c.pass(time.Second)
	}
	if g.allow(nodeA, "mallory", "carol") {
		t.Error("a node whose requests are forged is still heard")
	}
	if !g.allow(nodeB, "alice", "bob") {
		t.Error("others pay for it")
	}
	c.pass(forgedEvery)
	if !g.allow(nodeA, "mallory", "carol") {
		t.Error("it is never heard again")
	}
}

func TestClip(t *testing.T) {
	for in, want := range map[string]string{
		"plain": "plain", "a\x00b\r": "a b ", "äöü": "äö", "123456": "12345", "\xff1": "?1", "1234ä": "1234",
	} {
		if got := clip(in, 5); got != want {
			t.Errorf("clip(%q) = %q, want %q", in, got, want)
		}
	}
}
