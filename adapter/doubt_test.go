package adapter_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/adapter"
	"github.com/secp2psip/secp2psip/internal/admin"
	"github.com/secp2psip/secp2psip/internal/testnet"
	"github.com/secp2psip/secp2psip/sipbridge"
)

// TestMatrixF2ChangedKeys: a key that is not the one of earlier calls is
// refused, in both directions, and everybody at this adapter is told, also
// after a restart; looking the name up pins nothing; who accepts the new key by
// its fingerprint, and no other, is called again.
func TestMatrixF2ChangedKeys(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, nil)
	a, b, c := l.Add("alice", nil), l.Add("bob", nil), l.Add("carol", nil)
	a.Phone(toneA)
	b.Phone(toneB)
	c.Phone(toneB)
	if status, err := call(t, a, "bob"); status != 302 {
		t.Fatalf("%d (%v)", status, err)
	}
	carols := c.Lookup("carol").Key
	if res := a.Lookup("carol"); res.Outcome != "verified" || !res.Pinned.IsZero() {
		t.Errorf("looking carol up: %s, pinned %v", res.Outcome, res.Pinned)
	}
	pins := filepath.Join(a.State(), "pins")
	testnet.Eventually(t, "bob's key is pinned", func() bool {
		text, err := os.ReadFile(pins)
		return err == nil && strings.Contains(string(text), "bob")
	})
	a.Pin()
	a.Stop(t)
	rewrite := func(change func(line string) string) {
		t.Helper()
		text, err := os.ReadFile(pins)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, line := range strings.Split(string(text), "\n") {
			if strings.Contains(line, "carol") {
				t.Error("carol was pinned although nobody called her")
			}
			if strings.Contains(line, "bob@") {
				line = change(line)
			}
			out = append(out, line)
		}
		if err := os.WriteFile(pins, []byte(strings.Join(out, "\n")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	rewrite(func(line string) string { // as if bob had had another key so far
		return regexp.MustCompile(`p2psip-pub1\S+|secp2psip-pub\S+`).ReplaceAllString(line, carols)
	})
	a.Start()
	a.Joined()
	if status, err := call(t, a, "bob"); status != 403 {
		t.Errorf("bob's key has changed, and the call is answered %d (%v)", status, err)
	}
	if status, err := call(t, b, "alice"); status != 437 {
		t.Errorf("bob, whose key has changed, calls and is answered %d (%v)", status, err)
	}
	a.Stop(t) // the alarm outlives it
	a.Start()
	a.Joined()
	warned := strings.Join(a.It.Status().Warnings, "\n")
	if !strings.Contains(warned, "bob@") || !strings.Contains(warned, "secp2psip accept") {
		t.Errorf("the status does not say whose key has changed and what to do: %q", warned)
	}
	status, err := call(t, a, "bob")
	if status != 403 || !strings.Contains(err.Error(), "has changed") || !strings.Contains(err.Error(), "secp2psip accept") {
		t.Errorf("after a restart: %d (%v)", status, err)
	}
	if a.It.Status().Refusals["directory/key_changed"] == 0 {
		t.Errorf("not counted: %v", a.It.Status().Refusals)
	}
	refused := a.It.Status().Refusals["directory/key_changed"]
	accept := func(fingerprint string) (admin.AcceptResult, error) {
		return ask[admin.AcceptResult](t, a, admin.MethodAccept, admin.AcceptRequest{Name: "bob", Fingerprint: fingerprint})
	}
	shown, err := accept("")
	if err != nil || shown.Accepted || shown.NewFingerprint != b.Lookup("bob").Fingerprint || len(shown.Seen) == 0 {
		t.Fatalf("what has changed: %+v, %v", shown, err)
	}
	if _, err := accept(shown.OldFingerprint); err == nil {
		t.Error("another fingerprint than the new key's is accepted")
	}
	if status, _ := call(t, a, "bob"); status != 403 {
		t.Errorf("before anybody has accepted the key: %d", status)
	}
	if _, err := accept(strings.ToUpper(shown.NewFingerprint)); err != nil {
		t.Fatal(err)
	}
	testnet.Eventually(t, "bob can be called with the accepted key", func() bool {
		status, _ := call(t, a, "bob")
		return status == 302
	})
	if got := a.It.Status().Warnings; len(got) > 0 {
		t.Errorf("still warned: %q", got)
	}
	t.Logf("matrix: F2 calls with a changed key: 0 of 4 go through, %d refusals counted and shown", refused)
	if status, err := call(t, b, "alice"); status != 302 {
		t.Errorf("bob calls after his key was accepted: %d (%v)", status, err)
	}
	if _, err := accept(""); err == nil {
		t.Error("there is something to accept still")
	}
}

// ask asks a member's admin socket.
func ask[T any](t *testing.T, m *testnet.Member, method string, req any) (T, error) {
	t.Helper()
	var out T
	raw, err := json.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := m.It.Handlers()[method](limited(), raw)
	if err != nil {
		return out, err
	}
	if raw, err = json.Marshal(answer); err == nil {
		err = json.Unmarshal(raw, &out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out, nil
}

// TestComparedKeys: both sides see the same number, another number is refused,
// and that it was compared stays with the pin.
func TestComparedKeys(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, nil)
	a, b := l.Add("alice", nil), l.Add("bob", nil)
	a.Phone(toneA)
	b.Phone(toneB)
	verify := func(m *testnet.Member, r admin.VerifyRequest) (admin.VerifyResult, error) {
		return ask[admin.VerifyResult](t, m, admin.MethodVerify, r)
	}
	alices, err := verify(a, admin.VerifyRequest{Name: "bob"})
	if err != nil {
		t.Fatal(err)
	}
	bobs, err := verify(b, admin.VerifyRequest{Name: "sip:alice@" + testnet.Overlay, As: "bob"})
	if err != nil || bobs.Number != alices.Number || len(strings.Fields(alices.Number)) != 12 || !alices.Compared.IsZero() {
		t.Fatalf("%+v and %+v, %v", alices, bobs, err)
	}
	if _, err := verify(a, admin.VerifyRequest{Name: "bob", Number: "12345" + alices.Number[5:], Same: true}); err == nil {
		t.Error("another number is taken for the same")
	}
	for _, bad := range []admin.VerifyRequest{{Name: "alice"}, {Name: "nobody"}, {Name: "bob", As: "carol"}} {
		if _, err := verify(a, bad); err == nil {
			t.Errorf("%+v: no error", bad)
		}
	}
	if got := a.Lookup("bob"); !got.Compared.IsZero() {
		t.Error("compared, although nobody said so")
	}
	if _, err := verify(a, admin.VerifyRequest{Name: "bob", Number: strings.ReplaceAll(bobs.Number, " ", ""), Same: true}); err != nil {
		t.Fatal(err)
	}
	a.Pin()
	a.Stop(t)
	a.Start()
	a.Joined()
	if got := a.Lookup("bob"); got.Compared.IsZero() || got.ComparedKey != 1 {
		t.Errorf("after a restart: %+v", got)
	}
}

// TestALiarDoesNotSetTheClock: one member that tells a wrong time moves nobody
// who has known three others, and is overruled where there are.
func TestALiarDoesNotSetTheClock(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, nil)
	a := l.Add("alice", nil)
	a.Phone(toneA)
	var others []*testnet.Member
	for _, name := range []string{"bob", "carol", "dave"} {
		m := l.Add(name, nil)
		m.Phone(toneB)
		others = append(others, m)
	}
	newRogueAt(t, l, "mallory", 5*time.Hour)
	testnet.Eventually(t, "alice knows all", func() bool { return a.It.Status().Ring.Members == 6 })
	off := func() time.Duration { return time.Duration(a.It.Status().ClockOffsetMS) * time.Millisecond }
	a.Pin()
	l.Server.Stop(t)
	a.Stop(t)
	a.Start()
	a.Joined()
	if got := off(); got.Abs() > time.Minute || !a.It.Status().ClockSynced {
		t.Errorf("with three honest members and a liar alice's clock is off by %v, synced: %v", got, a.It.Status().ClockSynced)
	}
	a.Stop(t)
	for _, m := range others {
		m.Stop(t)
	}
	a.Start()
	a.Joined()
	if got := off(); got.Abs() > time.Minute || a.It.Status().ClockSynced {
		t.Errorf("with the liar alone alice's clock is off by %v, synced: %v", got, a.It.Status().ClockSynced)
	}
}

// TestCutOff: who reaches nobody does not take that for a proof that a name
// does not exist.
func TestCutOff(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, nil)
	a, b := l.Add("alice", nil), l.Add("bob", nil)
	a.Phone(toneA)
	b.Phone(toneB)
	if status, err := call(t, a, "nobody"); status != 404 {
		t.Errorf("nobody: %d (%v)", status, err)
	}
	b.Stop(t)
	l.Server.Stop(t)
	testnet.Eventually(t, "alice is alone", func() bool { return a.It.Status().Ring.Members == 1 })
	if status, err := call(t, a, "nobody"); status != 503 {
		t.Errorf("nobody, asked by who is alone: %d (%v)", status, err)
	}
}

// TestMatrixF3PhonesFromElsewhere: an adapter that would serve phones on other
// addresses than loopback without passwords does not start.
func TestMatrixF3PhonesFromElsewhere(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, nil)
	started := 0
	for _, listen := range []string{"0.0.0.0:0", "udp:[::]:0", "tcp:0.0.0.0:0"} {
		a, err := adapter.New(adapter.Config{
			State: filepath.Join(t.TempDir(), "state"), Join: l.Invite("alice", 1), SIP: sipbridge.Config{Listen: []string{listen}},
		})
		if err == nil {
			running, stop := context.WithTimeout(t.Context(), time.Second) // only what should not start is stopped by it
			err = a.Run(running)
			stop()
		}
		if err == nil || !strings.Contains(err.Error(), "password") {
			started++
			t.Errorf("%s: %v", listen, err)
		}
	}
	t.Logf("matrix: F3 adapters that listen beyond loopback without passwords: %d of 3 start", started)
}

// TestAdapterStateTroubles: one sentence each, and nothing lost.
func TestAdapterStateTroubles(t *testing.T) {
	t.Parallel()
	l, other := testnet.New(t, nil), testnet.New(t, nil)
	m := l.Add("alice", nil)
	m.Phone(toneA)
	config := func() adapter.Config {
		return adapter.Config{State: m.State(), SIP: sipbridge.Config{Listen: []string{"127.0.0.1:0"}}}
	}
	want := func(cfg adapter.Config, parts ...string) {
		t.Helper()
		_, err := adapter.New(cfg)
		if err == nil {
			t.Errorf("no error; want one with %q", parts)
			return
		}
		for _, part := range parts {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q does not mention %q", err, part)
			}
		}
	}
	want(config(), "in use", "--state")
	m.Stop(t)
	foreign := config()
	foreign.Join = other.Invite("alice", 1) // an overlay of the same name
	want(foreign, "root key", "--state")
	elsewhere := *foreign.Join
	elsewhere.Overlay = "other.example"
	foreign.Join = &elsewhere
	want(foreign, "other.example", "--state")
	nothing := config()
	nothing.State = filepath.Join(t.TempDir(), "new")
	want(nothing, "--join")

	file := filepath.Join(m.State(), adapter.StateFile)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, whole[:2*4096], 0o600); err != nil {
		t.Fatal(err)
	}
	want(config(), "cut short", "enrol again")
	if err := os.WriteFile(file, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	m.Start()
	m.Joined()
}
