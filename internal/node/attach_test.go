package node_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/node"
	"github.com/secp2psip/secp2psip/internal/testnet"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// A client is attached to three peers of different owners, names them, and moves
// on within seconds when one of them dies.
func TestClientMovesToAnotherPeer(t *testing.T) {
	o := newOverlay(t)
	first := o.start("first", func(c *node.Config) { c.Role = node.RolePeer })
	members := map[identity.NodeID]*peer{first.ID(): first}
	for i := range 4 {
		m := o.start(fmt.Sprint("member ", i), nil, first)
		members[m.ID()] = m
	}
	c := o.start("client", func(c *node.Config) { c.Socket = new(testnet.NAT).Socket }, first)
	eventually(t, "three attachments", func() bool { return len(c.Attachments()) == 3 && len(c.Via()) == 3 })
	owners := map[identity.OwnerTag]bool{}
	for _, a := range c.Attachments() {
		owners[a.Peer.Owner] = true
		if m := members[a.Peer.ID]; m == nil || m.Clients() != 1 {
			t.Errorf("%s does not know of its client", a.Peer.ID.Short())
		}
	}
	if len(owners) != 3 {
		t.Errorf("%d owners", len(owners))
	}
	for len(c.Moved()) > 0 {
		<-c.Moved()
	}
	dead := c.Attachments()[0].Peer.ID
	began := time.Now()
	members[dead].stop()
	eventually(t, "another peer", func() bool {
		all := c.Attachments()
		return len(all) == 3 && !slices.ContainsFunc(all, func(a node.Attachment) bool { return a.Peer.ID == dead })
	})
	t.Logf("another peer after %v", time.Since(began))
	select {
	case <-c.Moved():
	case <-time.After(patience):
		t.Error("nobody is told that the registration has to change")
	}
}

// Places for clients are bounded, all together and for each owner; a lease that
// is not renewed ends, and so does one that is given back.
func TestAttachmentsAreBounded(t *testing.T) {
	o := newOverlay(t)
	m := o.start("member", func(c *node.Config) { c.Role, c.Clients = node.RolePeer, node.Clients{Most: 2} })
	attach := func(l *liar, lease uint16) error {
		conn, err := l.Connect(limited(t), m.Self())
		if err != nil {
			t.Fatal(err)
		}
		_, err = conn.Call(limited(t), &wire.Attach{For: lease})
		return err
	}
	a, b, c := o.liar("a"), o.liar("b"), o.liar("c")
	for range 3 { // again is no further place
		if err := attach(a, 600); err != nil {
			t.Fatal(err)
		}
	}
	if err := attach(b, 1); err != nil || m.Clients() != 2 {
		t.Fatalf("%d clients, %v", m.Clients(), err)
	}
	if err := attach(c, 600); err == nil || m.refused.of("node/attach_full") != 1 {
		t.Errorf("a third client: %v, %v", err, m.refused.all())
	}
	eventually(t, "a short lease ends", func() bool { return m.Clients() == 1 })
	if err := attach(c, 600); err != nil {
		t.Error(err)
	}
	if err := attach(a, 0); err != nil || m.Clients() != 1 {
		t.Errorf("given back, %d clients: %v", m.Clients(), err)
	}
}
