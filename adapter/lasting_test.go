package adapter_test

import (
	"sync"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/demo"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/testnet"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// received is how many packets have come for the phone of the call that goes on.
func received(m *testnet.Member) uint64 {
	live := m.It.Status().Live
	if len(live) != 1 || live[0].Media == nil {
		return 0
	}
	return live[0].Media.Received.Packets
}

// more waits until both phones have got a second of sound more.
func more(t *testing.T, what string, members ...*testnet.Member) {
	t.Helper()
	for _, m := range members {
		before := received(m)
		testnet.Eventually(t, what+": "+m.Name+"'s phone hears more", func() bool { return received(m) > before+50 })
	}
}

// drop cuts every connection between two adapters, and returns how many there
// were.
func drop(a, b *testnet.Member) int {
	peer := b.It.Node().ID()
	return a.It.Node().Link().Drop(func(c *link.Conn) bool { return c.ID() == peer })
}

// inCall begins a call that lasts until hangUp is called, and then checks how it
// has ended: as the phones wanted, with the other side's tone at both if it
// should be pure.
func inCall(t *testing.T, a, b *testnet.Member, alice, bob *demo.Phone) (hangUp func(pure bool)) {
	t.Helper()
	over := make(chan struct{})
	stop := sync.OnceFunc(func() { close(over) })
	outcome := make(chan *demo.Outcome, 1)
	var work sync.WaitGroup
	work.Go(func() {
		out, err := alice.CallUntil(limited(), bob.User, over)
		if err != nil {
			t.Error(err)
		}
		outcome <- out
	})
	t.Cleanup(func() { stop(); work.Wait() })
	testnet.Eventually(t, "they talk", func() bool {
		select {
		case out := <-outcome:
			t.Fatalf("the call is over before they talk: %+v", out)
		default:
		}
		return received(a) > 25 && received(b) > 25
	})
	return func(pure bool) {
		t.Helper()
		stop()
		out := <-outcome
		if out == nil || out.Status != 200 || pure && !out.Heard.Tone(bob.Tone) {
			t.Errorf("%s: %+v", alice.User, out)
		}
		select {
		case heard := <-bob.Answered():
			if pure && !heard.Tone(alice.Tone) {
				t.Errorf("%s hears %d packets, and not %s's tone", bob.User, heard.Packets, alice.User)
			}
		case <-limited().Done():
			t.Errorf("%s's phone does not see the call end", bob.User)
		}
	}
}

// A call does not end with its connection: it goes on over another one,
// whichever side has lost it, and as often as that happens.
func TestACallOutlivesItsConnections(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, charterPaths("protected"))
	a, b := l.Add("alice", device("require-protected")), l.Add("bob", device("require-protected"))
	hangUp := inCall(t, a, b, a.Phone(toneA), b.Phone(toneB))
	for i, cut := range []func() int{
		func() int { return drop(a, b) }, func() int { return drop(b, a) }, func() int { return drop(a, b) + drop(b, a) },
	} {
		began := time.Now()
		if cut() == 0 {
			t.Error("there was nothing to cut")
		}
		more(t, "after a cut", a, b)
		t.Logf("cut %d: a second of sound more at both after %v", i+1, time.Since(began))
	}
	hangUp(true)
}

// TestMatrixF4Reattach: nobody but the other end of a call takes it over: not
// another node that knows the call's name, nor the right one with a guessed
// proof or an old turn.
func TestMatrixF4Reattach(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, charterPaths("protected"))
	a, b := l.Add("alice", device("require-protected")), l.Add("bob", device("require-protected"))
	mallory := newRogue(t, l, "mallory")
	alice, bob := a.Phone(toneA), b.Phone(toneB)
	hangUp := inCall(t, a, b, alice, bob)
	names := b.It.CallNames()
	if len(names) != 1 {
		t.Fatalf("%d calls", len(names))
	}
	own := b.It.Node().Link().Direct(a.It.Node().ID())
	for _, attack := range []struct {
		what, reason string
		conn         *link.Conn
		open         wire.Message
	}{
		{"another node", "reattach_unknown", mallory.to(a), &wire.Reattach{Call: names[0], Turn: 1 << 40}},
		{"a guessed name", "reattach_unknown", own, &wire.Reattach{Call: [16]byte{1}, Turn: 1 << 40}},
		{"a guessed proof", "reattach_proof", own, &wire.Reattach{Call: names[0], Turn: 1 << 40, Proof: [32]byte{1}}},
	} {
		before := refusals(a, attack.reason)
		s, err := attack.conn.Open(limited(), attack.open)
		if err != nil {
			t.Fatal(err)
		}
		frame, err := s.Recv(limited())
		if err != nil {
			t.Fatalf("%s: %v", attack.what, err)
		}
		if m, err := wire.Decode(frame); err != nil || m.Type() != wire.TypeError {
			t.Errorf("%s: answered with %v, %v", attack.what, m, err)
		}
		_ = s.Close()
		if refusals(a, attack.reason) != before+1 {
			t.Errorf("%s is not counted as %s: %v", attack.what, attack.reason, a.It.Status().Refusals)
		}
	}
	more(t, "after the attacks", a, b)
	hangUp(true)
	t.Logf("matrix: F4 calls taken over by whoever is no end of them: 0 of 3")
}
