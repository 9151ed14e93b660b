package adapter_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/adapter"
	"github.com/secp2psip/secp2psip/bootstrap"
	"github.com/secp2psip/secp2psip/internal/admin"
	"github.com/secp2psip/secp2psip/internal/demo"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/testnet"
	"github.com/secp2psip/secp2psip/internal/wire"
	"github.com/secp2psip/secp2psip/sipbridge"
)

// charterPaths sets what the overlay allows.
func charterPaths(paths ...string) func(*bootstrap.Config) {
	return func(c *bootstrap.Config) { c.Charter.Paths = paths }
}

func device(path string) func(*adapter.Config) {
	return func(c *adapter.Config) {
		many(c)
		c.SIP.Path = path
	}
}

// speak makes a call between two phones and checks that each hears the other.
func speak(t *testing.T, from, to *demo.Phone) {
	t.Helper()
	out, err := from.Call(limited(), to.User, 300*time.Millisecond)
	if err != nil || out.Status != 200 {
		t.Fatalf("%s calls %s: %v %+v", from.User, to.User, err, out)
	}
	if !out.Heard.Tone(to.Tone) {
		t.Errorf("%s hears %d packets, and not %s's tone", from.User, out.Heard.Packets, to.User)
	}
	select {
	case heard := <-to.Answered():
		if !heard.Tone(from.Tone) {
			t.Errorf("%s hears %d packets, and not %s's tone", to.User, heard.Packets, from.User)
		}
	case <-limited().Done():
		t.Errorf("%s's phone does not see the call end", to.User)
	}
}

func lastPath(t *testing.T, m *testnet.Member) string {
	t.Helper()
	calls := m.It.Status().Calls
	if len(calls) == 0 {
		t.Fatalf("%s's adapter knows of no call", m.Name)
	}
	return calls[0].Path
}

func TestProtectedCallsPassBothWays(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, a, b, want string
		charter          []string
	}{
		{"both may", "auto", "auto", "protected", []string{"protected", "direct", "carried"}},
		{"the overlay prefers another", "auto", "auto", "carried", []string{"carried", "protected"}},
		{"the device prefers it", "protected", "auto", "protected", []string{"carried", "protected"}},
		{"it falls back", "protected", "carried", "carried", []string{"carried", "protected"}},
		{"the callee requires it", "auto", "require-protected", "protected", []string{"carried", "protected"}},
		{"the overlay requires it", "auto", "auto", "protected", []string{"carried", "require-protected"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			l := testnet.New(t, charterPaths(tc.charter...))
			a, b := l.Add("alice", device(tc.a)), l.Add("bob", device(tc.b))
			speak(t, a.Phone(toneA), b.Phone(toneB))
			for _, m := range []*testnet.Member{a, b} {
				if got := lastPath(t, m); got != tc.want {
					t.Errorf("%s's call is %s, want %s", m.Name, got, tc.want)
				}
			}
		})
	}
}

// Two accounts of one adapter talk to each other as two adapters' do.
func TestProtectedCallWithinOneAdapter(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, charterPaths("protected"))
	a := l.Add("alice", device("require-protected"))
	alice := a.Phone(toneA)
	a.Accept(l.Invite("bob", 1))
	bob := a.PhoneOf("bob", toneB)
	if err := alice.Register(limited()); err != nil {
		t.Fatal(err)
	}
	speak(t, alice, bob)
	if got := lastPath(t, a); got != "protected" {
		t.Errorf("path %s", got)
	}
}

// TestMatrixF6Downgrades: where a side requires the protected path, no answer
// of the other makes the call go another way.
func TestMatrixF6Downgrades(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, charterPaths("protected", "direct", "carried"))
	a := l.Add("alice", device("require-protected"))
	a.Phone(toneA)
	mallory := newRogue(t, l, "mallory")
	var attacks atomic.Int32 // counted where the rogue answers
	made := 0
	for what, spoil := range map[string]func(*wire.RedirectBody){
		"direct only":         func(b *wire.RedirectBody) { b.Paths = []string{"direct"} },
		"carried only":        func(b *wire.RedirectBody) { b.Paths, b.Token = []string{"carried"}, [16]byte{1} },
		"nothing, a token":    func(b *wire.RedirectBody) { b.Paths, b.Token = nil, [16]byte{1} },
		"protected tokenless": func(b *wire.RedirectBody) { b.Paths = []string{"protected", "direct"} },
	} {
		mallory.answers(func(_ *link.Conn, req wire.Message) wire.Message {
			attacks.Add(1)
			b := mallory.reply(req.(*wire.Invite))
			spoil(&b)
			return mallory.signReply(b)
		})
		aor, err := a.It.Account("alice")
		if err != nil {
			t.Fatal(err)
		}
		_, err = a.It.Call(limited(), sipbridge.Call{Caller: aor, Target: "mallory", CallID: what, Paths: []string{sipbridge.PathProtected}})
		refusal, ok := errors.AsType[*sipbridge.Refusal](err)
		if !ok || refusal.Code != 488 {
			made++
			t.Errorf("%s: %v, want 488", what, err)
		}
		body, err := mallory.last().(*wire.Invite).Body()
		if err != nil || len(body.Paths) != 1 || body.Paths[0] != "protected" {
			t.Errorf("%s: the INVITE offers %v, %v", what, body.Paths, err)
		}
	}
	if attacks.Load() != 4 {
		t.Errorf("%d attacks", attacks.Load())
	}
	t.Logf("matrix: F6 calls made by a way weaker than the one required: %d of %d", made, attacks.Load())
}

// TestMatrixF4ProtectedTokens: whoever has a token but not the exchange, or uses it for
// another path, or another node's: the phone never rings.
func TestMatrixF4ProtectedTokens(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, charterPaths("protected", "direct", "carried"))
	b := l.Add("bob", device("require-protected"))
	bob := b.Phone(toneB)
	mallory, trudy := newRogue(t, l, "mallory"), newRogue(t, l, "trudy")
	conn, other := mallory.to(b), trudy.to(b)
	body := mallory.body(conn, "bob")
	body.Paths = []string{"protected", "carried", "direct"}
	m := mallory.sign(body)
	status, answer := mallory.ask(conn, m)
	if status != 302 {
		t.Fatalf("an honest INVITE is answered %d", status)
	}
	redirect := answer.(*wire.Redirect)
	got, err := redirect.Body()
	if err != nil || len(got.Paths) != 1 || got.Paths[0] != "protected" || got.Contact != "" {
		t.Fatalf("bob requires the protected path and offers %v %q, %v", got.Paths, got.Contact, err)
	}
	proofOf := func(exporter [32]byte, m *wire.Invite, redirect *wire.Redirect) (sum [32]byte) {
		h := hmac.New(sha256.New, exporter[:])
		h.Write([]byte("secp2psip/1 protected proof"))
		invite, answer := m.Hash(), redirect.Hash()
		h.Write(invite[:])
		h.Write(answer[:])
		h.Sum(sum[:0])
		return sum
	}
	proof := func(exporter [32]byte) [32]byte { return proofOf(exporter, m, redirect) }
	again := mallory.body(conn, "bob") // another call of the same two
	again.Paths = body.Paths
	m2 := mallory.sign(again)
	_, answer = mallory.ask(conn, m2)
	second := answer.(*wire.Redirect)
	other2, err := second.Body()
	if err != nil || other2.Token == got.Token {
		t.Fatalf("the second call has the token %x, %v", other2.Token, err)
	}
	foreign, err := other.Exporter()
	if err != nil {
		t.Fatal(err)
	}
	attacks := []struct {
		what, reason string
		conn         *link.Conn
		open         wire.Message
	}{
		{"downgrade to carried", "path_not_offered", conn, &wire.Carry{Token: got.Token}},
		{"no proof", "bad_proof", conn, &wire.Protect{Token: got.Token}},
		{"another link's proof", "bad_proof", conn, &wire.Protect{Token: got.Token, Proof: proof(foreign)}},
		{"another call's token", "bad_proof", conn, &wire.Protect{Token: other2.Token, Proof: proof(body.Exporter)}},
		{"another call's proof", "bad_proof", conn, &wire.Protect{Token: got.Token, Proof: proofOf(body.Exporter, m2, second)}},
		{"stolen token", "bad_token", other, &wire.Protect{Token: got.Token, Proof: proof(body.Exporter)}},
		{"guessed token", "bad_token", conn, &wire.Protect{Token: [16]byte{1}, Proof: proof(body.Exporter)}},
		{"no token", "bad_token", conn, &wire.Protect{}},
	}
	served := 0
	for _, attack := range attacks {
		before := refusals(b, attack.reason)
		s, err := attack.conn.Open(limited(), attack.open)
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Recv(limited())
		if err == nil {
			served++
			t.Errorf("%s: the stream is served", attack.what)
		}
		_ = s.Close()
		if refusals(b, attack.reason) != before+1 {
			t.Errorf("%s is not counted as %s: %v", attack.what, attack.reason, b.It.Status().Refusals)
		}
	}
	select {
	case <-bob.Answered():
		t.Error("bob's phone has rung")
	default:
	}
	if n := len(b.It.Bridge().Calls()); n > 0 {
		t.Errorf("%d calls are being carried", n)
	}
	t.Logf("matrix: F4 protected calls opened without the exchange: %d of %d", served, len(attacks))
}

// TestStatusShowsTheCallAndTheRecordItsEnd: while people talk, status shows
// path, peer, key and figures of both directions, loss included, at both ends;
// afterwards the file of calls says how and why it ended.
func TestStatusShowsTheCallAndTheRecordItsEnd(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, charterPaths("protected"))
	over := func(way *testnet.Slow) func(*adapter.Config) {
		return func(c *adapter.Config) { c.Socket = way.Socket }
	}
	var wayA, wayB testnet.Slow
	a, b := l.Add("alice", over(&wayA)), l.Add("bob", over(&wayB))
	alice, bob := a.Phone(toneA), b.Phone(toneB)
	wayA.Lose(10)
	wayB.Lose(5)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = alice.Call(limited(), "bob", 6*time.Second) // two reports long
	}()
	for _, side := range []struct {
		m              *testnet.Member
		direction, key string
	}{{a, "out", a.Lookup("bob").Fingerprint}, {b, "in", b.Lookup("alice").Fingerprint}} {
		testnet.Eventually(t, side.m.Name+"'s status shows the call with its figures", func() bool {
			live := side.m.It.Status().Live
			if len(live) != 1 || live[0].Media == nil {
				return false
			}
			c, m := live[0], live[0].Media
			return c.Path == "protected" && c.State == "answered" && c.Key == side.key && c.Peer == "127.0.0.1" && c.Direction == side.direction &&
				m.RTTMS > 0 && m.Received.Packets > 50 && m.Received.Bytes > 50*160 && m.Sent.Packets > 50 && m.Sent.Bytes > 50*160 &&
				m.Sent.JitterMS > 0 && m.Received.JitterMS > 0 && m.Sent.Lost > 0 && m.Received.Lost > 0
		})
	}
	<-done
	bob.Answered()
	for _, m := range []*testnet.Member{a, b} {
		testnet.Eventually(t, m.Name+"'s record", func() bool {
			text, err := os.ReadFile(filepath.Join(m.State(), "calls.jsonl"))
			if err != nil || !bytes.HasSuffix(text, []byte("\n")) { // not there yet, or not whole
				return false
			}
			var r admin.CallRecord
			if err := json.Unmarshal(text, &r); err != nil {
				t.Fatalf("%v: %s", err, text)
			}
			if r.Path != "protected" || r.Status != 200 || !strings.HasPrefix(r.Reason, "hung up") || r.Seconds < 1 || r.Key == "" || r.Media == nil || r.Media.Received.Packets == 0 {
				t.Errorf("%s", text)
			}
			return true
		})
	}
}
