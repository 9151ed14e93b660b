package bootstrap_test

import (
	"context"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/bootstrap"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/joinlink"
)

// deadline bounds everything in these tests.
const deadline = 20 * time.Second

// run starts a server on a free loopback port and stops it with the test.
func run(t testing.TB, change func(*bootstrap.Config)) (*bootstrap.Server, func()) {
	t.Helper()
	cfg := bootstrap.Config{
		State: filepath.Join(t.TempDir(), "state"), Listen: netip.MustParseAddrPort("127.0.0.1:0"),
		Charter: identity.DefaultCharter("lan.example", identity.PublicKey{}, time.Now()),
	}
	if change != nil {
		change(&cfg)
	}
	s, err := bootstrap.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
	t.Cleanup(stop)
	select {
	case <-s.Ready():
	case <-time.After(deadline):
		t.Fatal("the server does not get ready")
	case err := <-done:
		t.Fatalf("Run ended: %v", err)
	}
	return s, stop
}

func TestStartsAndResumesTheSameOverlay(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "state")
	same := func(c *bootstrap.Config) { c.State = dir }
	first, stop := run(t, same)
	print, id := first.Fingerprint(), first.Node().ID()
	stop()
	second, _ := run(t, same)
	if second.Fingerprint() != print || second.Node().ID() != id {
		t.Fatal("a second start made another overlay or node")
	}
}

func TestRefusesAnotherOverlaysState(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "state")
	_, stop := run(t, func(c *bootstrap.Config) { c.State = dir })
	stop()
	_, err := bootstrap.New(bootstrap.Config{State: dir, Charter: identity.DefaultCharter("other.example", identity.PublicKey{}, time.Now())})
	if err == nil {
		t.Fatal("a state folder of another overlay is taken")
	}
}

func TestJoinLink(t *testing.T) {
	t.Parallel()
	s, _ := run(t, nil)
	secret, _, err := s.Invite(bootstrap.InviteParams{User: "Bob", Number: "101", Devices: 2})
	if err != nil {
		t.Fatal(err)
	}
	link := s.JoinLink()
	link.User, link.Secret = "bob", secret
	got, err := joinlink.Parse(link.String())
	if err != nil {
		t.Fatal(err)
	}
	if got.Root != s.Fingerprint() || got.Secret != secret || got.User != "bob" || len(got.Addrs) != 1 || got.Addrs[0] != s.Addr().String() {
		t.Fatalf("%+v does not carry what it should", got)
	}
}

func TestInviteRefuses(t *testing.T) {
	t.Parallel()
	s, _ := run(t, func(c *bootstrap.Config) { c.Reserved = []string{"root"} })
	for _, p := range []bootstrap.InviteParams{
		{User: ""}, {User: "a b"}, {User: "echo"}, {User: "ROOT"}, {User: "bob", Devices: 9}, {User: "bob", Devices: -1},
		{User: "bob", Number: "1o1"}, {User: "bob", Number: "12345678901234567"}, {User: "bob", Expires: time.Second}, {User: "bob", Expires: 31 * 24 * time.Hour},
	} {
		if _, _, err := s.Invite(p); err == nil {
			t.Errorf("%+v is invited", p)
		}
	}
}
