package bootstrap_test

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/secp2psip/secp2psip/bootstrap"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/node"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// further makes the newcomer one that joins a name as another device.
func (n *newcomer) further() *newcomer {
	n.body.Account = identity.PublicKey{}
	return n
}

// member is a node of the ring that serves delegations as an adapter with the
// account key does.
type member struct {
	*newcomer
	node  *node.Node
	asked atomic.Int64

	mu   sync.Mutex
	more [][]byte // invitations that it knows beside its own
}

// alsoInvites lets the first device know another invitation, as its owner would.
func (m *member) alsoInvites(secret []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.more = append(m.more, secret)
}

// run makes an enrolled newcomer a node of the ring.
func (n *newcomer) run(t testing.TB, s *bootstrap.Server, r *wire.Registered) *member {
	t.Helper()
	m := &member{newcomer: n}
	clock := n.clock
	if clock == nil {
		var err error
		if clock, err = identity.NewClock("", nil); err != nil {
			t.Fatal(err)
		}
	}
	pins, err := identity.LoadPins("")
	if err != nil {
		t.Fatal(err)
	}
	trust, err := identity.NewTrust(s.Node().Trust().RootCertificate(), s.Node().Trust().Charter())
	if err != nil {
		t.Fatal(err)
	}
	m.node, err = node.New(node.Config{
		Key: n.node, Chain: [][]byte{r.Node, r.Issuer}, Trust: trust, Time: node.NewTimekeeper(clock, zerolog.Nop()), Pins: pins,
		Listen: netip.MustParseAddrPort("127.0.0.1:0"), Extra: m,
	})
	if err != nil {
		t.Fatal(err)
	}
	m.node.SeedPeers(r.Peers)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.node.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("a member's Run: %v", err)
		}
	})
	select {
	case <-m.node.Joined():
	case <-time.After(deadline):
		t.Fatal("a member does not join")
	}
	return m
}

// ServeExtra admits who proves to hold the invitation.
func (m *member) ServeExtra(_ context.Context, from *link.Conn, req wire.Message) wire.Message {
	ask, ok := req.(*wire.Delegate)
	if !ok {
		return nil
	}
	m.asked.Add(1)
	m.mu.Lock()
	invited := slices.ContainsFunc(append([][]byte{m.body.Invitation}, m.more...), ask.Proves)
	m.mu.Unlock()
	if !from.Bootstrap() || !invited {
		return wire.Errorf(wire.CodeUnauthorized, "not invited")
	}
	now := time.Now()
	signed, err := identity.Delegation{
		AOR: ask.AOR, Device: ask.Device, Node: ask.Node, Part: ask.Part, Issued: now.UnixMilli(), Expires: now.Add(time.Hour).UnixMilli(),
	}.Sign(m.account)
	if err != nil {
		return wire.Errorf(wire.CodeInternal, "%v", err)
	}
	return &wire.Delegated{Delegation: signed}
}

// ServeStream takes none.
func (m *member) ServeStream(_ context.Context, _ *link.Conn, _ wire.Message, s *link.Stream) {
	_ = s.Close()
}
