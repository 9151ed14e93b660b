package adapter_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/bootstrap"
	"github.com/secp2psip/secp2psip/internal/admin"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/node"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/testnet"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// knows tells whether a node has anything of another: a link, a place in its
// table, or a record of that name.
func knows(n *node.Node, id identity.NodeID, aor string) string {
	for _, p := range n.Link().Peers() {
		if p.ID == id {
			return "a link"
		}
	}
	if slices.ContainsFunc(n.Ring().View().Peers(), func(p wire.Peer) bool { return p.ID == id }) {
		return "a place in the table"
	}
	for _, r := range n.Store().All() {
		if b, err := r.Body(); err == nil && b.AOR == aor {
			return "a " + b.Kind.String() + " record"
		}
	}
	return ""
}

// goesOn tries everything that a member may do at another node, over a new
// connection each time, and returns how often it was served.
func (r *rogue) goesOn(to *node.Node, callee string, own record.Record) (attempts, served int) {
	r.t.Helper()
	messages := []func(exporter func() wire.InviteBody) wire.Message{
		func(func() wire.InviteBody) wire.Message { return &wire.GetState{} },
		func(func() wire.InviteBody) wire.Message { return &wire.Find{} },
		func(func() wire.InviteBody) wire.Message { return &wire.Join{Self: r.node.Self()} },
		func(func() wire.InviteBody) wire.Message { return &wire.Notify{Self: r.node.Self()} },
		func(func() wire.InviteBody) wire.Message { return &wire.GetMembers{Most: 10} },
		func(func() wire.InviteBody) wire.Message { return &wire.Store{Record: own} },
		func(func() wire.InviteBody) wire.Message { return &wire.Fetch{} },
		func(func() wire.InviteBody) wire.Message { return &wire.Attach{For: 60} },
		func(func() wire.InviteBody) wire.Message { return &wire.DialBack{Addrs: r.node.Self().Addrs} },
		func(func() wire.InviteBody) wire.Message { return &wire.GetBulletins{} },
		func(body func() wire.InviteBody) wire.Message { return r.sign(body()) },
	}
	for _, message := range messages {
		attempts++
		conn, err := r.node.Link().Connect(limited(), to.Self())
		if err != nil {
			continue
		}
		m := message(func() wire.InviteBody { return r.body(conn, callee) })
		if _, err := conn.Call(limited(), m); err == nil {
			served++
			r.t.Errorf("%s is served to %s after its revocation", m.Type(), r.name)
		}
	}
	return attempts, served
}

// TestMatrixA7RevokedNameIsRefusedEverywhere: a member who was revoked goes on
// speaking the protocol, with a program that does not care. Nobody listens:
// not those who were there, nor one that was away meanwhile, nor one that was
// restarted, and the bootstrap server is not needed for that.
func TestMatrixA7RevokedNameIsRefusedEverywhere(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, nil)
	a, b, c := l.Add("alice", many), l.Add("bob", many), l.Add("carol", many)
	a.Phone(toneA)
	b.Phone(toneB)
	c.Phone(toneB)
	mallory := newRogue(t, l, "mallory")
	if status, _ := mallory.ask(mallory.to(b), mallory.sign(mallory.body(mallory.to(b), "bob"))); status != 302 {
		t.Fatalf("before: mallory's INVITE is answered %d; the attacks below would prove nothing", status)
	}
	testnet.Eventually(t, "mallory is found", func() bool { return a.Lookup("mallory").Outcome == admin.OutcomeVerified })
	own := mallory.registration(t)
	c.Pin()
	c.Stop(t) // away

	done, err := l.Server.It.Revoke(bootstrap.RevokeParams{User: "mallory", Device: bootstrap.NoDevice, Note: "left the house"})
	if err != nil || done.Nodes != 1 {
		t.Fatalf("%+v, %v", done, err)
	}
	began := time.Now()
	there := []*node.Node{l.Server.It.Node(), a.It.Node(), b.It.Node()}
	testnet.Eventually(t, "nobody has anything of mallory", func() bool {
		return !slices.ContainsFunc(there, func(n *node.Node) bool { return knows(n, mallory.node.ID(), mallory.aor()) != "" })
	})
	took := time.Since(began)
	status, err := call(t, a, "mallory")
	if status != 403 || err == nil || !strings.Contains(err.Error(), "left the house") {
		t.Errorf("alice calls mallory: %d, %v", status, err)
	}
	if res := a.Lookup("mallory"); res.Outcome != admin.OutcomeRevoked || !strings.Contains(res.Message, "left the house") {
		t.Errorf("alice looks mallory up: %s, %q", res.Outcome, res.Message)
	}
	attempts, served := 0, 0
	attack := func(n *node.Node, callee string) {
		tried, got := mallory.goesOn(n, callee, own)
		attempts, served = attempts+tried, served+got
	}
	for i, n := range there {
		attack(n, []string{"bob", "alice", "bob"}[i])
	}
	if _, err := l.Server.It.Node().Directory().Publish(limited(), own); err == nil {
		t.Error("mallory's registration is stored when somebody else brings it")
	}
	at := l.Server.It.Addr()
	l.Server.Stop(t)
	b.Pin()
	b.Stop(t)
	b.Start()
	b.Joined()
	attack(b.It.Node(), "bob") // it has what was on its disk
	c.Start()
	c.Joined()
	testnet.Eventually(t, "carol, who was away, knows", func() bool {
		return c.Lookup("mallory").Outcome == admin.OutcomeRevoked && knows(c.It.Node(), mallory.node.ID(), mallory.aor()) == ""
	})
	attack(c.It.Node(), "carol")
	for _, m := range []*testnet.Member{a, b, c} {
		if m.It.Status().Refusals["link/certificate_revoked"] == 0 {
			t.Errorf("%s has refused no revoked certificate: %v", m.Name, m.It.Status().Refusals)
		}
	}
	if status, err := call(t, a, "carol"); status != 302 && status != 480 {
		t.Errorf("alice calls carol: %d, %v", status, err)
	}
	l.StartServer(at)
	if served != 0 || attempts == 0 {
		t.Errorf("%d of %d attempts were served", served, attempts)
	}
	t.Logf("matrix: A7 a revoked node that goes on is served: %d of %d; forgotten by all on loopback within 5 min: %v", served, attempts, took < 5*time.Minute)
}

// registration is the one that the rogue has on the ring.
func (r *rogue) registration(t *testing.T) record.Record {
	t.Helper()
	aor, err := identity.ParseAOR(r.aor())
	if err != nil {
		t.Fatal(err)
	}
	res := record.Resource(aor, record.KindRegistration)
	var found record.Record
	testnet.Eventually(t, "mallory's registration is on the ring", func() bool {
		a, err := r.node.Ring().Fetch(limited(), res, res, nil)
		if err != nil || len(a.Records) == 0 {
			return false
		}
		found = a.Records[0]
		return true
	})
	return found
}
