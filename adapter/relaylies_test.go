package adapter_test

import (
	"bytes"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/adapter"
	"github.com/secp2psip/secp2psip/bootstrap"
	"github.com/secp2psip/secp2psip/internal/demo"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/node"
	"github.com/secp2psip/secp2psip/internal/testnet"
)

// mangler makes of a packet that is to be passed on what is passed on.
type mangler func(packet []byte) [][]byte

// lie has a member pass on what mangle makes of each packet, until the function
// that it returns is called; then it passes them on as they are. It speaks the
// protocol by the product's own code otherwise.
func lie(n *node.Node, attacks *atomic.Int64, mangle mangler) (stop func()) {
	var honest atomic.Bool
	n.Link().HandleDatagrams(link.DatagramSealed, func(from *link.Conn, b []byte) {
		to := n.Link().Direct(identity.NodeID(b[2:18]))
		if b[1] != 0 || to == nil { // not to be passed on
			return
		}
		packets := [][]byte{b[18:]}
		if !honest.Load() {
			attacks.Add(1)
			packets = mangle(bytes.Clone(b[18:]))
		}
		for _, packet := range packets {
			id := from.ID()
			_ = to.SendDatagram(append(append([]byte{link.DatagramSealed, 1}, id[:]...), packet...))
		}
	})
	return func() { honest.Store(true) }
}

// relays are two clients between whom no direct way can be opened, and the
// members that pass their packets on.
func relays(t *testing.T) (a, b *testnet.Member, alice, bob *demo.Phone, nodes map[identity.NodeID]*node.Node) {
	l := testnet.New(t, func(c *bootstrap.Config) {
		c.Charter.Paths = []string{"protected"}
	})
	nodes = map[identity.NodeID]*node.Node{l.Server.It.Node().ID(): l.Server.It.Node()}
	for _, name := range []string{"carol", "dave", "erin"} {
		m := l.Add(name, func(c *adapter.Config) { c.Reach = node.ReachTiming{Silent: 100 * time.Millisecond} })
		m.Phone(toneA)
		nodes[m.It.Node().ID()] = m.It.Node()
	}
	natA, natB := new(testnet.NAT), new(testnet.NAT)
	a, b = l.Add("alice", behind(natA)), l.Add("bob", behind(natB))
	alice, bob = a.Phone(toneA), b.Phone(toneB)
	natA.Deny(b.It.Node().Link().Addr())
	natB.Deny(a.It.Node().Link().Addr())
	return a, b, alice, bob, nodes
}

// through is the member that the call between two clients goes through, the zero
// ID where none does.
func through(a, b *testnet.Member) (via identity.NodeID, ok bool) {
	for _, p := range a.It.Node().Link().Peers() {
		if p.ID == b.It.Node().ID() && p.Busy > 0 {
			via, ok = p.Via, true
		}
	}
	return via, ok
}

// TestMatrixF6RelayLies: the member that passes a call's packets on turns. It is
// noticed, counted and left in the middle of the call, which goes on through
// another. In no case does a phone hear anything but the other one.
func TestMatrixF6RelayLies(t *testing.T) {
	t.Parallel()
	a, b, alice, bob, nodes := relays(t)
	for _, tc := range []struct {
		name   string
		as     []string // how it is counted: where nothing passes at all, silence may show first
		pure   bool     // the phones, which do not put packets in order, hear pure tones
		mangle mangler
	}{
		{"replays", []string{"relay_replays"}, true, func(p []byte) [][]byte { return [][]byte{p, p, p} }},
		{"reorders", []string{"relay_reorders"}, false, reorder()},
		{"drops", []string{"relay_silent"}, true, func([]byte) [][]byte { return nil }},
		{"alters", []string{"relay_alters", "relay_silent"}, true, func(p []byte) [][]byte { p[len(p)/2] ^= 1; return [][]byte{p} }},
	} {
		hangUp := inCall(t, a, b, alice, bob)
		bad, _ := through(a, b)
		if nodes[bad] == nil {
			t.Fatalf("the call goes through %v", bad)
		}
		var attacks atomic.Int64
		before, began := noticed(tc.as, a, b), time.Now()
		honest := lie(nodes[bad], &attacks, tc.mangle)
		testnet.Eventually(t, "the call goes through another", func() bool { v, ok := through(a, b); return ok && nodes[v] != nil && v != bad })
		if noticed(tc.as, a, b) == before {
			t.Errorf("%s: not counted: %v, %v", tc.name, a.It.Status().Refusals, b.It.Status().Refusals)
		}
		more(t, "after the lies", a, b)
		t.Logf("matrix: F6 a member %s a call's packets: %d lies, a second of sound more after %v", tc.name, attacks.Load(), time.Since(began).Round(100*time.Millisecond))
		if attacks.Load() == 0 {
			t.Error("the member has not lied")
		}
		honest()
		hangUp(tc.pure)
	}
}

// noticed is how often the adapters have counted one of the reasons.
func noticed(reasons []string, members ...*testnet.Member) (n uint64) {
	for _, m := range members {
		for _, reason := range reasons {
			n += m.It.Status().Refusals["link/"+reason]
		}
	}
	return n
}

// reorder holds two packets back and then passes on three, the last one first.
func reorder() mangler {
	var mu sync.Mutex
	var held [][]byte
	return func(p []byte) (out [][]byte) {
		mu.Lock()
		defer mu.Unlock()
		if held = append(held, p); len(held) == 3 {
			out, held = held, nil
			slices.Reverse(out)
		}
		return out
	}
}
