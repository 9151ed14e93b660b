package adapter_test

import (
	"crypto/rand"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/adapter"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/testnet"
	"github.com/secp2psip/secp2psip/internal/wire"
	"github.com/secp2psip/secp2psip/sipbridge"
)

// many lets an attacker try as often as it likes: what refuses it must be the
// checks under test, not the limits.
func many(c *adapter.Config) {
	c.CallRate = 100_000_000
	c.Limits.RequestRate, c.Limits.RequestBurst = 10_000, 100_000_000
}

// call asks a member's adapter as its phone does and returns the status of the
// answer: 302 only if the phone would be sent on.
func call(t *testing.T, from *testnet.Member, to string) (status int, err error) {
	t.Helper()
	aor, err := from.It.Account(from.Name)
	if err != nil {
		t.Fatal(err)
	}
	_, err = from.It.Call(limited(), sipbridge.Call{Caller: aor, Target: to, CallID: "test", Paths: []string{sipbridge.PathDirect}})
	if err == nil {
		return 302, nil
	}
	refusal, ok := errors.AsType[*sipbridge.Refusal](err)
	if !ok {
		t.Fatalf("%s calls %s: %v is no answer for a phone", from.Name, to, err)
	}
	return refusal.Code, err
}

// refusals are what a member has refused so far.
func refusals(m *testnet.Member, reason string) uint64 {
	return m.It.Status().Refusals["adapter/"+reason]
}

// TestMatrixF1Invites: INVITEs that were modified, reflected, delivered to
// somebody else, or replayed: none is accepted, and bob's phone never rings.
func TestMatrixF1Invites(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, nil)
	a, b := l.Add("alice", many), l.Add("bob", many)
	a.Phone(toneA)
	b.Phone(toneB)
	mallory, trudy := newRogue(t, l, "mallory"), newRogue(t, l, "trudy")
	conn := mallory.to(b)
	attempts, accepted := 0, 0
	try := func(what string, r *rogue, c *link.Conn, m *wire.Invite) {
		t.Helper()
		attempts++
		if status, _ := r.ask(c, m); status == 302 {
			accepted++
			t.Errorf("accepted: %s", what)
		}
	}
	if status, _ := mallory.ask(conn, mallory.sign(mallory.body(conn, "bob"))); status != 302 {
		t.Fatalf("an honest INVITE of mallory's is answered %d: the attacks below would prove nothing", status)
	}

	// Modified: in a signed body, and with a signature that is right but not the caller's.
	good := mallory.sign(mallory.body(conn, "bob"))
	for i := range good.Signed {
		bad := *good
		bad.Signed = slices.Clone(good.Signed)
		bad.Signed[i] ^= 1 << (i % 8)
		try("a changed byte", mallory, conn, &bad)
	}
	for what, change := range map[string]func(*wire.InviteBody){
		"in alice's name":       func(b *wire.InviteBody) { b.Caller = "sip:alice@" + testnet.Overlay },
		"in nobody's name":      func(b *wire.InviteBody) { b.Caller = "sip:nobody@" + testnet.Overlay },
		"from another overlay":  func(b *wire.InviteBody) { b.Caller = "sip:mallory@other.example" },
		"for another overlay":   func(b *wire.InviteBody) { b.Callee = "sip:bob@other.example" },
		"in another spelling":   func(b *wire.InviteBody) { b.Caller = "sip:MALLORY@" + testnet.Overlay },
		"for somebody else":     func(b *wire.InviteBody) { b.Callee = "sip:alice@" + testnet.Overlay },
		"from another node":     func(b *wire.InviteBody) { b.CallerNode = a.It.Node().ID() },
		"for another node":      func(b *wire.InviteBody) { b.CalleeNode = a.It.Node().ID() },
		"for another link":      func(b *wire.InviteBody) { b.Exporter[0] ^= 1 },
		"of another version":    func(b *wire.InviteBody) { b.Version++ },
		"of a device not hers":  func(b *wire.InviteBody) { b.Device = trudy.device.Public() },
		"an hour old":           func(b *wire.InviteBody) { b.Time -= time.Hour.Milliseconds() },
		"of an hour from now":   func(b *wire.InviteBody) { b.Time += time.Hour.Milliseconds() },
		"with a guessed answer": func(b *wire.InviteBody) { b.Time -= time.Hour.Milliseconds(); rand.Read(b.Challenge[:]) },
	} {
		body := mallory.body(conn, "bob")
		change(&body)
		m, err := wire.SignInvite(body, mallory.device, mallory.delegation, mallory.chain)
		if err != nil {
			t.Fatal(err)
		}
		try(what, mallory, conn, m)
	}
	other := mallory.sign(mallory.body(conn, "bob"))
	other.Delegation = trudy.delegation
	try("with another's delegation", mallory, conn, other)

	// What alice signs for mallory serves mallory nowhere else.
	mallory.answers(func(from *link.Conn, req wire.Message) wire.Message {
		return wire.Errorf(wire.CodeUnavailable, "not now")
	})
	if status, err := call(t, a, "mallory"); status != 503 {
		t.Errorf("an unsigned refusal is answered %d: %v", status, err)
	}
	captured := mallory.last().(*wire.Invite)
	back := mallory.to(a)
	try("reflected to its sender", mallory, back, captured)
	try("delivered to bob", mallory, conn, captured)
	stolen := mallory.body(conn, "bob")
	stolen.Caller = "sip:alice@" + testnet.Overlay
	m := mallory.sign(stolen)
	m.Delegation, m.Chain = captured.Delegation, captured.Chain
	try("with alice's delegation", mallory, conn, m)

	// Replayed: on the same link, through another node, and on a new link.
	first := mallory.sign(mallory.body(conn, "bob"))
	if status, _ := mallory.ask(conn, first); status != 302 {
		t.Fatalf("an honest INVITE is answered %d", status)
	}
	try("replayed", mallory, conn, first)
	try("replayed by another node", trudy, trudy.to(b), first)
	mallory.node.Link().Drop(func(c *link.Conn) bool { return c.ID() == b.It.Node().ID() })
	<-conn.Done()
	try("replayed on a new link", mallory, mallory.to(b), first)

	for _, reason := range []string{"bad_invite", "caller_forged", "other_link", "replay", "stale", "callee_not_ours"} {
		if refusals(b, reason) == 0 {
			t.Errorf("no attack got as far as %q: %v", reason, b.It.Status().Refusals)
		}
	}
	if attempts < 100 || accepted != 0 {
		t.Errorf("%d of %d attacks were accepted", accepted, attempts)
	}
	if calls := b.It.Bridge().Calls(); len(calls) > 0 {
		t.Errorf("bob's phone rings: %+v", calls)
	}
	t.Logf("matrix: F1 modified, reflected, cross-delivered and replayed INVITEs accepted: %d of %d", accepted, attempts)
}

// TestMatrixF1Redirects: a callee, or who poses as one, answers with REDIRECTs
// that were modified, reflected, meant for somebody else, or replayed. Alice's
// phone is never sent anywhere.
func TestMatrixF1Redirects(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, nil)
	a, b := l.Add("alice", many), l.Add("bob", many)
	a.Phone(toneA)
	b.Phone(toneB)
	mallory := newRogue(t, l, "mallory")
	conn := mallory.to(b)
	_, fromBob := mallory.ask(conn, mallory.sign(mallory.body(conn, "bob"))) // bob's own, to mallory
	var old atomic.Pointer[wire.Redirect]
	answers := map[string]func(m *wire.Invite) wire.Message{
		"bob's, to another": func(*wire.Invite) wire.Message { return fromBob },
		"an old one":        func(*wire.Invite) wire.Message { return old.Load() },
		"a reflected body": func(m *wire.Invite) wire.Message {
			return &wire.Redirect{Signed: m.Signed, Delegation: m.Delegation, Chain: m.Chain}
		},
	}
	for what, change := range map[string]func(*wire.RedirectBody){
		"for another INVITE":  func(b *wire.RedirectBody) { b.InviteHash[0] ^= 1 },
		"with another nonce":  func(b *wire.RedirectBody) { b.Nonce[0] ^= 1 },
		"for another caller":  func(b *wire.RedirectBody) { b.Caller = "sip:bob@" + testnet.Overlay },
		"in bob's name":       func(b *wire.RedirectBody) { b.Callee = "sip:bob@" + testnet.Overlay },
		"from another node":   func(b *wire.RedirectBody) { b.CalleeNode = b.CallerNode },
		"for another node":    func(b *wire.RedirectBody) { b.CallerNode = b.CalleeNode },
		"for another Call-ID": func(b *wire.RedirectBody) { b.CallID += "x" },
		"of another link":     func(b *wire.RedirectBody) { b.Exporter[0] ^= 1 },
		"an hour old":         func(b *wire.RedirectBody) { b.Time -= time.Hour.Milliseconds() },
		"with a 200":          func(b *wire.RedirectBody) { b.Status = 200 },
		"with a 999":          func(b *wire.RedirectBody) { b.Status = 999 },
	} {
		answers[what] = func(m *wire.Invite) wire.Message {
			body := mallory.reply(m)
			change(&body)
			return mallory.signReply(body)
		}
	}
	for i := range 40 {
		answers["a changed byte "+string(rune('A'+i))] = func(m *wire.Invite) wire.Message {
			r := mallory.signReply(mallory.reply(m))
			r.Signed = slices.Clone(r.Signed)
			r.Signed[i*len(r.Signed)/40] ^= 1 << (i % 8)
			return r
		}
	}
	mallory.answers(func(_ *link.Conn, req wire.Message) wire.Message {
		r := mallory.signReply(mallory.reply(req.(*wire.Invite)))
		old.Store(r)
		return r
	})
	if status, err := call(t, a, "mallory"); status != 302 {
		t.Fatalf("an honest REDIRECT is answered %d (%v): the attacks below would prove nothing", status, err)
	}
	var attacks atomic.Int64
	sent := 0
	for what, answer := range answers {
		mallory.answers(func(_ *link.Conn, req wire.Message) wire.Message {
			attacks.Add(1)
			return answer(req.(*wire.Invite))
		})
		if status, err := call(t, a, "mallory"); status != 403 && status != 480 {
			sent++
			t.Errorf("%s: %d (%v)", what, status, err)
		}
	}
	if attacks.Load() < int64(len(answers)) || refusals(a, "bad_redirect") < uint64(len(answers)/2) {
		t.Errorf("%d answers of %d came, %d were refused as forged", attacks.Load(), len(answers), refusals(a, "bad_redirect"))
	}
	t.Logf("matrix: F1 modified, reflected, cross-delivered and replayed REDIRECTs accepted: %d of %d", sent, attacks.Load())
}

// TestStaleInvitesAreChallenged: who is outside the window is asked to sign a
// fresh nonce, which serves only that node and only once.
func TestStaleInvitesAreChallenged(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, nil)
	a, b := l.Add("alice", many), l.Add("bob", many)
	a.Phone(toneA)
	b.Phone(toneB)
	mallory, trudy := newRogue(t, l, "mallory"), newRogue(t, l, "trudy")
	old := func(r *rogue, c *link.Conn, challenge [16]byte) *wire.Invite {
		body := r.body(c, "bob")
		body.Time -= time.Hour.Milliseconds()
		body.Challenge = challenge
		return r.sign(body)
	}
	conn := mallory.to(b)
	status, answer := mallory.ask(conn, old(mallory, conn, [16]byte{}))
	if status != 1 {
		t.Fatalf("a stale INVITE is answered %d, want a challenge", status)
	}
	nonce := answer.(*wire.Challenge).Nonce
	fresh := old(mallory, conn, nonce)
	if status, _ := mallory.ask(conn, fresh); status != 302 {
		t.Errorf("a stale INVITE with the fresh challenge is answered %d", status)
	}
	if status, _ := mallory.ask(conn, fresh); status != 0 {
		t.Errorf("the same again is answered %d", status)
	}
	theirs := trudy.to(b)
	if status, _ := trudy.ask(theirs, old(trudy, theirs, nonce)); status != 1 {
		t.Errorf("another node's challenge is answered %d, want a challenge", status)
	}
	// The other way round: a callee whose clock is an hour off.
	mallory.answers(func(_ *link.Conn, req wire.Message) wire.Message {
		m := req.(*wire.Invite)
		body, err := m.Body()
		if err != nil {
			t.Error(err)
		}
		if body.Challenge != [16]byte{7} {
			return &wire.Challenge{Nonce: [16]byte{7}, Now: time.Now().Add(-time.Hour).UnixMilli()}
		}
		reply := mallory.reply(m)
		reply.Time -= time.Hour.Milliseconds()
		return mallory.signReply(reply)
	})
	if status, err := call(t, a, "mallory"); status != 302 {
		t.Errorf("a callee whose clock is off is answered %d (%v)", status, err)
	}
	mallory.answers(func(*link.Conn, wire.Message) wire.Message { return &wire.Challenge{Nonce: [16]byte{8}} })
	if status, err := call(t, a, "mallory"); status != 403 {
		t.Errorf("a callee that challenges without end: %d (%v)", status, err)
	}
}

// TestCallRates: a caller gets a burst of calls to a callee and then one a
// second; nobody can use up what another may; forgeries are soon not even
// looked up.
func TestCallRates(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, nil)
	b := l.Add("bob", nil)
	b.Phone(toneB)
	mallory, trudy := newRogue(t, l, "mallory"), newRogue(t, l, "trudy")
	conn, theirs := mallory.to(b), trudy.to(b)
	for range 20 { // in trudy's name
		body := mallory.body(conn, "bob")
		body.Caller = trudy.aor()
		if status, _ := mallory.ask(conn, mallory.sign(body)); status == 302 {
			t.Fatal("mallory calls as trudy")
		}
	}
	if got := refusals(b, "caller_forged"); got == 0 || got > 8 {
		t.Errorf("of 20 forgeries %d were looked up, want a burst of them", got)
	}
	accepted := 0
	for range 20 {
		if status, _ := trudy.ask(theirs, trudy.sign(trudy.body(theirs, "bob"))); status == 302 {
			accepted++
		}
	}
	if accepted < 5 || accepted > 8 || refusals(b, "invite_rate") == 0 {
		t.Errorf("trudy got %d of 20 calls through at once, want a burst of 5; %v", accepted, b.It.Status().Refusals)
	}
}

// TestMatrixF4Tokens: a carried call is opened only with the token that was
// given to this node, and no more often than once and after a 401.
func TestMatrixF4Tokens(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, nil)
	b := l.Add("bob", func(c *adapter.Config) { many(c); c.SIP.Path = sipbridge.PathCarried })
	b.Phone(toneB)
	mallory, trudy := newRogue(t, l, "mallory"), newRogue(t, l, "trudy")
	conn, theirs := mallory.to(b), trudy.to(b)
	_, answer := mallory.ask(conn, mallory.sign(mallory.body(conn, "bob")))
	body, err := answer.(*wire.Redirect).Body()
	if err != nil || body.Token == [16]byte{} {
		t.Fatalf("no token came: %+v, %v", body, err)
	}
	open := func(c *link.Conn, token [16]byte) {
		t.Helper()
		s, err := c.Open(limited(), &wire.Carry{Token: token})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Recv(limited()); err == nil {
			t.Error("a stranger's stream is answered")
		}
		_ = s.Close()
	}
	open(theirs, body.Token) // another node's
	for range 20 {
		var guess [16]byte
		rand.Read(guess[:])
		open(conn, guess)
	}
	if got := refusals(b, "bad_token"); got != 21 {
		t.Errorf("%d of 21 bad tokens were refused", got)
	}
	if calls := b.It.Bridge().Calls(); len(calls) > 0 {
		t.Errorf("bob's phone rings: %+v", calls)
	}
	for range 2 { // what the token allows
		s, err := conn.Open(limited(), &wire.Carry{Token: body.Token})
		if err != nil {
			t.Fatal(err)
		}
		testnet.Eventually(t, "the call is taken in", func() bool { return len(b.It.Bridge().Calls()) == 1 })
		_ = s.Close()
		testnet.Eventually(t, "it ends with its stream", func() bool { return len(b.It.Bridge().Calls()) == 0 })
	}
	open(conn, body.Token)
	if got := refusals(b, "bad_token"); got != 22 {
		t.Errorf("a token that is used up is taken again")
	}
	t.Logf("matrix: F4 carried calls opened with stolen, guessed or used tokens: 0 of %d", refusals(b, "bad_token"))
}
