package adapter_test

import (
	"context"
	"crypto/rand"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/secp2psip/secp2psip/internal/canon"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/node"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/testnet"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// rogue is somebody who was enrolled as everybody is, runs the real protocol,
// and lies: a node of the ring with a name, whose answers to INVITE and text
// the test chooses.
type rogue struct {
	t                    testing.TB
	name                 string
	account, device, key identity.PrivateKey
	delegation           identity.SignedDelegation
	chain                [][]byte
	papers               [][]byte // of the node: its certificate and the issuer's
	node                 *node.Node

	mu     sync.Mutex
	answer func(from *link.Conn, req wire.Message) wire.Message
	heard  []wire.Message // INVITEs and texts that came
}

func newKey(t testing.TB) identity.PrivateKey {
	t.Helper()
	k, err := identity.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// limited is the time that one step may take.
func limited() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), testnet.Deadline)
	time.AfterFunc(testnet.Deadline, cancel)
	return ctx
}

// newRogue enrols a name with a bootstrap server, joins the ring and publishes
// a registration.
func newRogue(t testing.TB, l *testnet.LAN, name string) *rogue {
	t.Helper()
	return newRogueAt(t, l, name, 0)
}

// newRogueAt is newRogue with a clock of its own making: it tells others a time
// that is off.
func newRogueAt(t testing.TB, l *testnet.LAN, name string, off time.Duration) *rogue {
	t.Helper()
	r := &rogue{t: t, name: name, account: newKey(t), device: newKey(t), key: newKey(t)}
	reg := r.enrol(l)
	r.chain, r.papers = [][]byte{reg.Account, reg.Issuer}, [][]byte{reg.Node, reg.Issuer}
	theirs := l.Server.It.Node().Trust()
	trust, err := identity.NewTrust(theirs.RootCertificate(), theirs.Charter()) // what is revoked it has to be told
	if err != nil {
		t.Fatal(err)
	}
	cert, err := trust.VerifyNode([][]byte{reg.Node, reg.Issuer}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	r.delegation, err = identity.Delegation{
		AOR: r.aor(), Device: r.device.Public(), Node: cert.ID, Part: reg.Part, Issued: now.UnixMilli(), Expires: now.Add(time.Hour).UnixMilli(),
	}.Sign(r.account)
	if err != nil {
		t.Fatal(err)
	}
	var lie atomic.Int64
	clock, err := identity.NewClock("", func() time.Time { return time.Now().Add(time.Duration(lie.Load())) })
	if err != nil {
		t.Fatal(err)
	}
	pins, err := identity.LoadPins("")
	if err != nil {
		t.Fatal(err)
	}
	r.node, err = node.New(node.Config{
		Key: r.key, Chain: [][]byte{reg.Node, reg.Issuer}, Trust: trust, Time: node.NewTimekeeper(clock, zerolog.Nop()), Pins: pins,
		Listen: netip.MustParseAddrPort("127.0.0.1:0"), Extra: r,
	})
	if err != nil {
		t.Fatal(err)
	}
	r.node.SeedPeers(reg.Peers)
	r.run()
	r.publish(reg.Part)
	lie.Store(int64(off)) // when it has learnt the right one
	return r
}

func (r *rogue) aor() string { return "sip:" + r.name + "@" + testnet.Overlay }

func (r *rogue) enrol(l *testnet.LAN) *wire.Registered {
	r.t.Helper()
	invitation := l.Invite(r.name, 1)
	ctx := limited()
	conn, err := link.DialEnrol(ctx, invitation.Addrs[0], invitation.Root, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	defer conn.Close()
	answer, err := conn.Call(ctx, &wire.EnrolStart{})
	if err != nil {
		r.t.Fatal(err)
	}
	exporter, err := conn.Exporter()
	if err != nil {
		r.t.Fatal(err)
	}
	req, err := wire.SignRegister(wire.RegisterBody{
		AOR: r.aor(), Account: r.account.Public(), Device: r.device.Public(), Node: r.key.Public(),
		Nonce: answer.(*wire.EnrolChallenge).Nonce, Exporter: exporter, Invitation: invitation.Secret[:],
	}, &r.account, r.device, r.key)
	if err != nil {
		r.t.Fatal(err)
	}
	if answer, err = conn.Call(ctx, req); err != nil {
		r.t.Fatal(err)
	}
	return answer.(*wire.Registered)
}

func (r *rogue) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.node.Run(ctx) }()
	r.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Errorf("%s's Run: %v", r.name, err)
		}
	})
	select {
	case <-r.node.Joined():
	case <-time.After(testnet.Deadline):
		r.t.Fatalf("%s does not join the ring", r.name)
	}
}

// publish puts the rogue's registration on the ring.
func (r *rogue) publish(part uint64) {
	r.t.Helper()
	data, err := canon.Marshal(record.Registration{Node: r.node.ID(), Addrs: r.node.Self().Addrs, Device: r.device.Public()})
	if err != nil {
		r.t.Fatal(err)
	}
	now := uint64(time.Now().UnixMilli())
	rec, err := record.Sign(record.Body{
		AOR: r.aor(), Kind: record.KindRegistration, Part: part, Seq: now, Time: int64(now), Lifetime: 900, Data: data,
	}, r.device, record.Chain{Certificates: r.chain, Delegation: r.delegation})
	if err != nil {
		r.t.Fatal(err)
	}
	testnet.Eventually(r.t, r.name+"'s registration is stored", func() bool {
		_, err := r.node.Directory().Publish(limited(), rec)
		return err == nil
	})
}

// answers sets what the rogue answers to an INVITE or a text.
func (r *rogue) answers(f func(from *link.Conn, req wire.Message) wire.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = f
}

// last returns the last message that came.
func (r *rogue) last() wire.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.heard) == 0 {
		r.t.Fatalf("%s heard nothing", r.name)
	}
	return r.heard[len(r.heard)-1]
}

// ServeExtra implements node.Extra.
func (r *rogue) ServeExtra(_ context.Context, from *link.Conn, req wire.Message) wire.Message {
	r.mu.Lock()
	r.heard = append(r.heard, req)
	answer := r.answer
	r.mu.Unlock()
	if answer == nil {
		return nil
	}
	return answer(from, req)
}

// ServeStream implements node.Extra.
func (r *rogue) ServeStream(_ context.Context, _ *link.Conn, _ wire.Message, s *link.Stream) {
	_ = s.Close()
}

// to connects to a member's node.
func (r *rogue) to(m *testnet.Member) *link.Conn {
	r.t.Helper()
	conn, err := r.node.Link().Connect(limited(), m.It.Node().Self())
	if err != nil {
		r.t.Fatal(err)
	}
	return conn
}

// body is a right INVITE body to a member over a link.
func (r *rogue) body(conn *link.Conn, callee string) wire.InviteBody {
	r.t.Helper()
	exporter, err := conn.Exporter()
	if err != nil {
		r.t.Fatal(err)
	}
	b := wire.InviteBody{
		Version: wire.InviteVersion, Caller: r.aor(), Callee: "sip:" + callee + "@" + testnet.Overlay, CallerNode: r.node.ID(), CalleeNode: conn.ID(),
		CallID: "rogue", Time: time.Now().UnixMilli(), Exporter: exporter, Paths: []string{"direct", "carried"}, Device: r.device.Public(),
	}
	rand.Read(b.Nonce[:])
	return b
}

// sign signs an INVITE with the rogue's own device.
func (r *rogue) sign(b wire.InviteBody) *wire.Invite {
	r.t.Helper()
	m, err := wire.SignInvite(b, r.device, r.delegation, r.chain)
	if err != nil {
		r.t.Fatal(err)
	}
	return m
}

// ask sends an INVITE and returns the status of the REDIRECT: 302 only if the
// INVITE was accepted. 0 is a refusal without one, 1 a challenge.
func (r *rogue) ask(conn *link.Conn, m *wire.Invite) (status int, answer wire.Message) {
	r.t.Helper()
	answer, err := conn.Call(limited(), m)
	if err != nil {
		return 0, nil
	}
	switch a := answer.(type) {
	case *wire.Redirect:
		b, err := a.Body()
		if err != nil {
			r.t.Fatal(err)
		}
		return int(b.Status), a
	case *wire.Challenge:
		return 1, a
	}
	r.t.Fatalf("an INVITE is answered by %s", answer.Type())
	return 0, nil
}

// reply is a right REDIRECT to an INVITE, for the test to spoil.
func (r *rogue) reply(m *wire.Invite) wire.RedirectBody {
	b, err := m.Body()
	if err != nil {
		r.t.Error(err)
	}
	return wire.RedirectBody{
		InviteHash: m.Hash(), Caller: b.Caller, Callee: b.Callee, CallerNode: b.CallerNode, CalleeNode: b.CalleeNode, CallID: b.CallID,
		Nonce: b.Nonce, Time: time.Now().UnixMilli(), Exporter: b.Exporter, Device: r.device.Public(),
		Status: 302, Reason: "Moved Temporarily", Contact: "sip:rogue@127.0.0.1:9", Paths: []string{"direct"},
	}
}

func (r *rogue) signReply(b wire.RedirectBody) *wire.Redirect {
	m, err := wire.SignRedirect(b, r.device, r.delegation, r.chain)
	if err != nil {
		r.t.Error(err)
	}
	return m
}
