package node_test

import (
	"slices"
	"testing"

	"github.com/secp2psip/secp2psip/chord"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/node"
	"github.com/secp2psip/secp2psip/internal/testnet"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// lists tells whether a node has another in its successor list or as its
// predecessor.
func lists(p *peer, id identity.NodeID) bool {
	st := p.Ring().Status()
	return slices.ContainsFunc(append([]wire.Peer{st.Pred}, st.Succ...), func(q wire.Peer) bool { return q.ID == id })
}

// Reachable nodes become members and can name who has dialled them back: two
// others, or all there are.
func TestReachableNodesBecomeMembers(t *testing.T) {
	o := newOverlay(t)
	first := o.start("first", func(c *node.Config) { c.Role = node.RolePeer })
	second := o.start("second", nil, first)
	third := o.start("third", nil, first)
	for p, vouchers := range map[*peer]int{second: 1, third: 2} {
		s := p.Standing()
		if s.Client || len(s.By) != vouchers || p.Ring().Status().Phase != chord.PhaseJoined {
			t.Errorf("%s: %+v", p.name, s)
		}
		if len(s.By) == 2 && s.By[0].Owner == s.By[1].Owner {
			t.Errorf("%s: %+v", p.name, s.By)
		}
	}
}

// A node behind a translator that lets nobody in is a client: no member lists
// it, and it uses the ring. It becomes a member when the translator opens, and a
// client again when it closes.
func TestUnreachableNodeIsClient(t *testing.T) {
	o := newOverlay(t)
	first := o.start("first", func(c *node.Config) { c.Role = node.RolePeer })
	second := o.start("second", nil, first)
	third := o.start("third", nil, first)
	members := []*peer{first, second, third}
	nat := new(testnet.NAT)
	c := o.start("client", func(c *node.Config) { c.Socket = nat.Socket }, first)
	if s := c.Standing(); !s.Client || c.Ring().Status().Phase != chord.PhaseClient || nat.Shut() == 0 {
		t.Fatalf("%+v, phase %v, %d packets kept out", s, c.Ring().Status().Phase, nat.Shut())
	}
	route, err := c.Ring().Lookup(limited(t), identity.HashID("anything"))
	if err != nil || route.Responsible.ID == c.ID() {
		t.Fatalf("%+v: %v", route, err)
	}
	eventually(t, "the client knows all members", func() bool { return c.Ring().Status().Members == 3 })
	for _, m := range members {
		if lists(m, c.ID()) {
			t.Errorf("%s lists the client", m.name)
		}
	}
	nat.Open(true)
	eventually(t, "the client becomes a member", func() bool {
		return !c.Standing().Client && !slices.ContainsFunc(members, func(m *peer) bool { return !lists(m, c.ID()) })
	})
	if s := c.Standing(); len(s.By) < 2 {
		t.Errorf("%+v", s)
	}
	nat.Open(false)
	eventually(t, "the member becomes a client", func() bool {
		return c.Standing().Client && !slices.ContainsFunc(members, func(m *peer) bool { return lists(m, c.ID()) })
	})
	if _, err := c.Ring().Lookup(limited(t), identity.HashID("anything")); err != nil {
		t.Error(err)
	}
}

// The role can be chosen: a client that everybody can call stays one, and a peer
// that nobody can call is one.
func TestChosenRole(t *testing.T) {
	o := newOverlay(t)
	first := o.start("first", func(c *node.Config) { c.Role = node.RolePeer })
	c := o.start("client", func(c *node.Config) { c.Role = node.RoleClient }, first)
	p := o.start("peer", func(c *node.Config) { c.Role, c.Socket = node.RolePeer, new(testnet.NAT).Socket }, first)
	if !c.Standing().Client || p.Standing().Client || p.Ring().Status().Phase != chord.PhaseJoined {
		t.Errorf("%+v, %+v", c.Standing(), p.Standing())
	}
}
