package adapter_test

import (
	"slices"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/adapter"
	"github.com/secp2psip/secp2psip/bootstrap"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/node"
	"github.com/secp2psip/secp2psip/internal/testnet"
)

// behind puts an adapter behind an address translator of its own.
func behind(nat *testnet.NAT) func(*adapter.Config) {
	return func(c *adapter.Config) {
		many(c)
		c.SIP.Path, c.Socket = "protected", nat.Socket
		c.Reach = node.ReachTiming{Retry: 300 * time.Millisecond, Silent: 100 * time.Millisecond, Lease: 500 * time.Millisecond}
		c.Limits.Handshake = time.Second
	}
}

func peersOf(m *testnet.Member) (ids []identity.NodeID) {
	for _, a := range m.It.Node().Attachments() {
		ids = append(ids, a.Peer.ID)
	}
	return ids
}

// Two people whose adapters nobody can call, each behind a translator of its
// own, call each other through the peers that the callee is attached to: the
// exchange is verified and the media comes through. When a peer dies in between,
// the next call comes through another one.
func TestClientsCallThroughTheirPeers(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, func(c *bootstrap.Config) {
		c.Charter.Paths = []string{"protected", "carried"}
		c.Limits.Handshake = time.Second
	})
	members := map[identity.NodeID]*testnet.Member{}
	quick := func(c *adapter.Config) {
		c.Reach, c.Limits.Handshake = node.ReachTiming{Silent: 100 * time.Millisecond}, time.Second
	}
	for _, name := range []string{"carol", "dave", "erin", "frank"} {
		m := l.Add(name, quick)
		m.Phone(toneA)
		members[m.It.Node().ID()] = m
	}
	natA, natB := new(testnet.NAT), new(testnet.NAT)
	a, b := l.Add("alice", behind(natA)), l.Add("bob", behind(natB))
	alice, bob := a.Phone(toneA), b.Phone(toneB)
	for _, m := range []*testnet.Member{a, b} {
		if s := m.It.Node().Standing(); !s.Client {
			t.Fatalf("%s is no client: %+v", m.Name, s)
		}
	}
	if natA.Shut() == 0 || natB.Shut() == 0 {
		t.Error("nobody tried to dial the clients")
	}
	speak(t, alice, bob)
	speak(t, bob, alice)
	relayed := func() bool {
		return slices.ContainsFunc(a.It.Node().Link().Peers(), func(p link.PeerInfo) bool { return p.ID == b.It.Node().ID() && p.Via != identity.NodeID{} })
	}
	if !relayed() || lastPath(t, a) != "protected" {
		t.Errorf("the calls did not go through a peer: path %s", lastPath(t, a))
	}
	testnet.Eventually(t, "three peers", func() bool { return len(peersOf(b)) == 3 })
	for _, id := range peersOf(b) {
		if m := members[id]; m != nil {
			m.Crash()
			break
		}
	}
	began := time.Now()
	speak(t, alice, bob)
	t.Logf("called %v after a peer died", time.Since(began))
}
