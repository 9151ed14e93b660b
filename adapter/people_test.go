package adapter_test

import (
	"crypto/rand"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/adapter"
	"github.com/secp2psip/secp2psip/bootstrap"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/testnet"
	"github.com/secp2psip/secp2psip/internal/wire"
	"github.com/secp2psip/secp2psip/sipbridge"
)

// text sends a text as the member's phone would.
func text(t *testing.T, from *testnet.Member, to, body string) error {
	t.Helper()
	aor, err := from.It.Account(from.Name)
	if err != nil {
		t.Fatal(err)
	}
	return from.It.Message(limited(), sipbridge.Message{From: aor, Target: to, ContentType: "text/plain", Body: []byte(body), CallID: "text"})
}

func wantStatus(t *testing.T, err error, code int) {
	t.Helper()
	refusal, ok := errors.AsType[*sipbridge.Refusal](err)
	if !ok || refusal.Code != code {
		t.Errorf("got %v, want %d", err, code)
	}
}

func TestTextsAreSignedBothWays(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, nil)
	a, b := l.Add("alice", many), l.Add("bob", many)
	newTextPhone(t, a)
	bob := newTextPhone(t, b)
	mallory := newRogue(t, l, "mallory")
	if err := text(t, a, "bob", "hello"); err != nil {
		t.Fatal(err)
	}
	if got := bob.got(t); got != "hello" {
		t.Errorf("bob got %q", got)
	}
	wantStatus(t, text(t, a, "nobody", "hello"), 404)
	wantStatus(t, text(t, a, "bob", strings.Repeat("x", 64<<10)), 413)

	// Forged: none arrives.
	conn := mallory.to(b)
	exporter, err := conn.Exporter()
	if err != nil {
		t.Fatal(err)
	}
	forge := func(caller string, change func(*wire.Text)) {
		body := wire.TextBody{
			Caller: caller, Callee: "sip:bob@" + testnet.Overlay, CallerNode: mallory.node.ID(), CalleeNode: conn.ID(), CallID: "x",
			Time: time.Now().UnixMilli(), Exporter: exporter, Device: mallory.device.Public(), ContentType: "text/plain", Body: []byte("forged"),
		}
		rand.Read(body.Nonce[:])
		m, err := wire.SignText(body, mallory.device, mallory.delegation, mallory.chain)
		if err != nil {
			t.Fatal(err)
		}
		change(m)
		answer, err := conn.Call(limited(), m)
		if ack, ok := answer.(*wire.TextAck); ok {
			body, err := ack.Body()
			if err != nil || body.Status == 200 {
				t.Errorf("a forged text is acknowledged with %d, %v", body.Status, err)
			}
		} else if err == nil {
			t.Errorf("a forged text is answered by %s", answer.Type())
		}
	}
	forge("sip:alice@"+testnet.Overlay, func(*wire.Text) {})
	forge(mallory.aor(), func(m *wire.Text) { m.Signed[len(m.Signed)-1] ^= 1 })
	if refusals(b, "caller_forged") < 2 {
		t.Errorf("the forgeries were not looked at: %v", b.It.Status().Refusals)
	}

	// Who receives cannot answer for another text, nor without a signature.
	for what, answer := range map[string]func(m *wire.Text) wire.Message{
		"another text's": func(*wire.Text) wire.Message {
			return mallory.ack(wire.TextAckBody{Time: time.Now().UnixMilli(), Status: 200, Reason: "OK"})
		},
		"an impossible one": func(m *wire.Text) wire.Message {
			return mallory.ack(wire.TextAckBody{TextHash: m.Hash(), Time: time.Now().UnixMilli(), Status: 100, Reason: "OK"})
		},
		"the text itself": func(m *wire.Text) wire.Message {
			return &wire.TextAck{Signed: []byte{1}, Delegation: m.Delegation, Chain: m.Chain}
		},
	} {
		mallory.answers(func(_ *link.Conn, req wire.Message) wire.Message { return answer(req.(*wire.Text)) })
		err := text(t, a, "mallory", "hello")
		if err == nil {
			t.Errorf("%s acknowledgement is believed", what)
		}
	}
	if err := text(t, a, "bob", "done"); err != nil {
		t.Fatal(err)
	}
	if got := bob.got(t); got != "done" {
		t.Errorf("bob got %q: a forged text reached his phone", got)
	}
}

// ack signs an acknowledgement.
func (r *rogue) ack(b wire.TextAckBody) *wire.TextAck {
	b.Device = r.device.Public()
	m, err := wire.SignTextAck(b, r.device, r.delegation, r.chain)
	if err != nil {
		r.t.Error(err)
	}
	return m
}

func TestNumbersAreDialled(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, nil)
	secret, _, err := l.Server.It.Invite(bootstrap.InviteParams{User: "bob", Number: "101"})
	if err != nil {
		t.Fatal(err)
	}
	invitation := l.Server.It.JoinLink()
	invitation.User, invitation.Secret = "bob", secret
	b := l.AddWith("bob", "bob", &invitation, nil)
	b.Phone(toneB)
	a := l.Add("alice", nil)
	a.Phone(toneA)
	for dialled, want := range map[string]int{"101": 302, "bob": 302, "102": 404} {
		if status, err := call(t, a, dialled); status != want {
			t.Errorf("%s: %d (%v), want %d", dialled, status, err, want)
		}
	}
	if aor, err := b.It.Account("101"); err != nil || aor.User() != "bob" {
		t.Errorf("a phone with digits only registers as %v, %v", aor, err)
	}
}

// TestTwoNamesEnrolAtOnce: an adapter with invitations for two people, both of
// whose phones register in the same moment.
func TestTwoNamesEnrolAtOnce(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, nil)
	m := l.Add("alice", nil)
	m.Stop(t)
	m.Change(func(c *adapter.Config) { c.Join = l.Invite("bob", 1) })
	m.Start()
	var work sync.WaitGroup
	for _, name := range []string{"alice", "bob", "alice", "bob"} {
		work.Go(func() {
			aor, err := m.It.Account(name)
			if err == nil {
				err = m.It.Register(limited(), sipbridge.Registration{AOR: aor})
			}
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	work.Wait()
	if got := len(m.It.Status().Accounts); got != 2 {
		t.Errorf("%d accounts are enrolled, want 2", got)
	}
}

// TestALaterInvitationAddsADevice: the device that has the account key admits
// another only when its owner has started it with the same link.
func TestALaterInvitationAddsADevice(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, nil)
	first := l.Add("bob", nil)
	first.Phone(toneA)
	invitation := l.Invite("bob", 1)
	second := l.AddWith("bob", "bob-mobile", invitation, nil)
	aor, err := second.It.Account("bob")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 { // an attempt that fails uses nothing up
		err := second.It.Register(limited(), sipbridge.Registration{AOR: aor})
		wantStatus(t, err, 503)
		if err != nil && !strings.Contains(err.Error(), "first device") {
			t.Errorf("%v does not say what to do", err)
		}
	}
	if refusals(first, "delegation_refused") == 0 {
		t.Error("the first device was not asked")
	}
	first.Accept(invitation)
	if err := second.It.Register(limited(), sipbridge.Registration{AOR: aor}); err != nil {
		t.Fatal(err)
	}
	second.Phone(toneB)
	testnet.Eventually(t, "both devices are found", func() bool { return len(second.Lookup("bob").Devices) == 2 })
}

// TestAnEnrolmentWhoseAnswerIsLost: the bootstrap server has enrolled the name,
// but the adapter could not keep the answer, because its disk was full or the
// power went. The same keys ask again, so the name is not lost.
func TestAnEnrolmentWhoseAnswerIsLost(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, nil)
	m := l.Add("alice", nil)
	aor, err := m.It.Account("alice")
	if err != nil {
		t.Fatal(err)
	}
	names := func() int { return l.Server.It.Status().Enrolment.Names }
	m.It.KeepKeys(t, "alice")
	m.It.FillDisk(true)
	err = m.It.Register(limited(), sipbridge.Registration{AOR: aor})
	wantStatus(t, err, 500)
	if err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("%v does not say what to do", err)
	}
	if names() != 1 {
		t.Fatalf("%d names are enrolled; the answer was not lost", names())
	}
	m.It.FillDisk(false)
	m.Stop(t)
	m.Start()
	if err := m.It.Register(limited(), sipbridge.Registration{AOR: aor}); err != nil {
		t.Fatal(err)
	}
	if names() != 1 || len(m.It.Status().Accounts) != 1 {
		t.Errorf("%d names are enrolled, %d accounts here", names(), len(m.It.Status().Accounts))
	}
}

// TestACrashAndTwoRestarts: a node that vanishes is routed around; when it is
// back, twice, its phone is called without registering anew.
func TestACrashAndTwoRestarts(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, nil)
	a, b, c := l.Add("alice", nil), l.Add("bob", nil), l.Add("carol", nil)
	alice, bob := a.Phone(toneA), b.Phone(toneB)
	c.Phone(toneB)
	b.Pin()
	b.Crash()
	testnet.Eventually(t, "the others go on without the one that vanished", func() bool {
		status, _ := call(t, a, "carol")
		return status == 302
	})
	if status, err := call(t, a, "bob"); status != 480 && status != 408 {
		t.Errorf("who has vanished is answered %d (%v)", status, err)
	}
	for range 2 {
		b.Start()
		b.Joined()
		testnet.Eventually(t, "bob is found again", func() bool {
			status, _ := call(t, a, "bob")
			return status == 302
		})
		if out := dial(t, alice, "bob"); out.Status != 200 {
			t.Fatalf("after a restart: %d %s", out.Status, out.Reason)
		}
		answered(t, bob)
		b.Stop(t)
	}
}
