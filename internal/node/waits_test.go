package node_test

import (
	"strings"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/node"
)

// ofPerson gives a node a certificate of a person's.
func (o *overlay) ofPerson(owner identity.OwnerTag, name string) func(*node.Config) {
	return func(c *node.Config) {
		now := time.Now()
		c.Key = must(identity.GenerateKey())(o.t)
		leaf := must(o.issuer.IssueNode(identity.NodeParams{
			Key: c.Key.Public(), ID: identity.HashID(name), Overlay: "lan.example", Owner: owner,
			NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		}))(o.t)
		c.Chain = [][]byte{leaf, o.issuer.Certificate()}
	}
}

// TestMatrixB2FourthNodeOfAPerson: three nodes of a person are members; a fourth
// that is certified, too, is told so, and uses the ring as a client.
func TestMatrixB2FourthNodeOfAPerson(t *testing.T) {
	t.Parallel()
	o := newOverlay(t)
	first := o.start("first", nil)
	second := o.start("second", nil, first)
	person := identity.NewOwnerTag()
	members, clients := 0, 0
	var ring []*node.Node
	for _, name := range []string{"laptop", "desk", "mobile", "tablet"} {
		certified := o.ofPerson(person, name)
		p := o.start(name, func(c *node.Config) { certified(c); c.Role = node.RolePeer }, first, second)
		if s := p.Standing(); s.Client {
			clients++
			if !strings.Contains(s.Why, "3 nodes of this person are members") || !strings.Contains(s.Why, "tries again in") {
				t.Errorf("%s is a client: %q", name, s.Why)
			}
			eventually(t, "the client finds what it looks for", func() bool {
				_, err := p.Ring().Lookup(limited(t), identity.HashID("anything"))
				return err == nil
			})
			continue
		}
		members++
		ring = append(ring, p.Node)
		eventually(t, "everybody knows the new member", func() bool {
			return ideal(append([]*node.Node{first.Node, second.Node}, ring...)) == nil
		})
	}
	refused := first.refused.of("chord/owner_full") + second.refused.of("chord/owner_full")
	if members != 3 || clients != 1 {
		t.Errorf("%d members and %d clients; %d refused here", members, clients, refused)
	}
	t.Logf("matrix: B2 members of the ring of one person with four certified nodes: %d", members)
}

// TestJoinsTooOften: a node that joins again and again waits as a client at last,
// says why and for how long, and finds what it looks for all the same.
func TestJoinsTooOften(t *testing.T) {
	t.Parallel()
	o := newOverlay(t)
	first := o.start("first", nil)
	second := o.start("second", nil, first)
	third := o.start("third", nil, second)
	eventually(t, "one ideal ring", func() bool { return ideal([]*node.Node{first.Node, second.Node, third.Node}) == nil })
	same := identity.NewOwnerTag()
	certified := o.ofPerson(same, "restless")
	identityOf := func(c *node.Config) { certified(c); c.Role = node.RolePeer }
	joins := 0
	for {
		p := o.start("restless", identityOf, first, second)
		s := p.Standing()
		if s.Client {
			if !strings.Contains(s.Why, "joined the ring too often") || !strings.Contains(s.Why, "tries again in") {
				t.Errorf("it is a client: %q", s.Why)
			}
			eventually(t, "the client finds what it looks for", func() bool {
				_, err := p.Ring().Lookup(limited(t), identity.HashID("anything"))
				return err == nil
			})
			break
		}
		if joins++; joins > 100 {
			t.Fatal("nobody minds")
		}
		p.Leave(limited(t))
		p.stop()
	}
	if joins < 10 {
		t.Errorf("it had to wait after %d joins already", joins)
	}
	t.Logf("a client after %d joins", joins)
}
