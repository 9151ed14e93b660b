package bootstrap_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/secp2psip/secp2psip/bootstrap"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/wire"
)

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// emptyState is a state file of no bootstrap server.
func emptyState(t *testing.T) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "empty.db")
	db, err := bbolt.Open(path, 0o600, nil)
	if err == nil {
		err = db.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestFurtherDevices: a device joins a name only with an invitation to it, and
// only when one that has the account key agrees; an attempt that fails uses
// nothing up.
func TestFurtherDevices(t *testing.T) {
	t.Parallel()
	s, _ := run(t, nil)
	secret := invite(t, s, bootstrap.InviteParams{User: "bob", Devices: 2})
	bob := newNewcomer(t, "bob", secret)
	first, err := bob.enrol(t, s)
	if err != nil {
		t.Fatal(err)
	}
	phone := newNewcomer(t, "bob", secret).further()
	_, err = phone.enrol(t, s)
	wantRefused(t, err, wire.CodeUnavailable) // bob's first device is not there
	m := bob.run(t, s, first)

	wrong := newNewcomer(t, "bob", secret).further()
	conn, challenge := dial(t, s)
	exporter, err := conn.Exporter()
	if err != nil {
		t.Fatal(err)
	}
	wrong.body.Nonce, wrong.body.Exporter = challenge.Nonce, exporter
	wrong.body.MAC = wire.InvitationMAC(make([]byte, 16), wrong.body.Device, wrong.body.Node, wrong.body.Nonce)
	req, err := wire.SignRegister(wrong.body, nil, wrong.device, wrong.node)
	if err != nil {
		t.Fatal(err)
	}
	_, err = ask(t, conn, req)
	wantRefused(t, err, wire.CodeUnavailable)
	if m.asked.Load() != 1 {
		t.Error("the first device was not asked")
	}

	stranger := newNewcomer(t, "bob", invite(t, s, bootstrap.InviteParams{User: "carol"})).further()
	_, err = stranger.enrol(t, s)
	wantRefused(t, err, wire.CodeForbidden)
	nobody := newNewcomer(t, "dave", invite(t, s, bootstrap.InviteParams{User: "dave"})).further()
	_, err = nobody.enrol(t, s)
	wantRefused(t, err, wire.CodeUnauthorized)

	got, err := phone.enrol(t, s)
	if err != nil {
		t.Fatalf("the two attempts that failed have used the invitation up: %v", err)
	}
	d, err := got.Delegation.Verify(bob.account.Public(), 0, time.Now())
	cert, certErr := s.Node().Trust().VerifyNode([][]byte{got.Node, got.Issuer}, time.Now())
	if err != nil || certErr != nil || d.Device != phone.device.Public() || d.Node != cert.ID || d.Part != 1 {
		t.Errorf("delegation %+v (%v), certificate %+v (%v)", d, err, cert, certErr)
	}
	again, err := phone.enrol(t, s)
	if err != nil || again.Part != 1 {
		t.Errorf("asking again: %v", err)
	}
	_, err = newNewcomer(t, "bob", secret).further().enrol(t, s)
	wantRefused(t, err, wire.CodeGone)

	// The account key alone brings no further device in.
	other := newNewcomer(t, "bob", nil)
	other.account, other.body.Account = bob.account, bob.account.Public()
	_, err = other.enrol(t, s)
	wantRefused(t, err, wire.CodeUnauthorized)
}

// TestRenewal: a member's certificates and shares are issued anew, of the same
// values; nobody else's are, and not again and again.
func TestRenewal(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	clock, err := identity.NewClock("", func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) })
	if err != nil {
		t.Fatal(err)
	}
	s, _ := run(t, func(c *bootstrap.Config) { c.Clock = clock })
	bob := newNewcomer(t, "bob", invite(t, s, bootstrap.InviteParams{User: "bob", Number: "101"}))
	before, err := bob.enrol(t, s)
	if err != nil {
		t.Fatal(err)
	}
	bob.clock = clock
	m := bob.run(t, s, before)
	conn, err := m.node.Link().ConnectAny(t.Context(), s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	ask := func(change func(*wire.RenewBody), key identity.PrivateKey) (*wire.Registered, error) {
		t.Helper()
		exporter, err := conn.Exporter()
		if err != nil {
			t.Fatal(err)
		}
		body := wire.RenewBody{
			AOR: bob.body.AOR, Account: bob.account.Public(), Device: bob.device.Public(), Node: m.node.ID(), Time: clock.Now().UnixMilli(), Exporter: exporter,
		}
		change(&body)
		req, err := wire.SignRenew(body, key)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := conn.Call(t.Context(), req)
		if err != nil {
			return nil, err
		}
		return answer.(*wire.Registered), nil
	}
	asIs := func(*wire.RenewBody) {}
	early, err := ask(asIs, bob.account)
	if err != nil || seqOf(t, early.Shares[0]) != seqOf(t, before.Shares[0]) {
		t.Fatalf("a renewal on the first day signs the shares anew (%v)", err)
	}

	ahead.Store(int64(31 * 24 * time.Hour))
	carol := newNewcomer(t, "carol", invite(t, s, bootstrap.InviteParams{User: "carol"}))
	if _, err := carol.enrol(t, s); err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(*wire.RenewBody){
		"carol's name":   func(b *wire.RenewBody) { b.AOR = carol.body.AOR },
		"nobody's name":  func(b *wire.RenewBody) { b.AOR = "sip:nobody@lan.example" },
		"another node":   func(b *wire.RenewBody) { b.Node[0] ^= 1 },
		"another device": func(b *wire.RenewBody) { b.Device = carol.device.Public() },
		"another link":   func(b *wire.RenewBody) { b.Exporter[0] ^= 1 },
		"an old request": func(b *wire.RenewBody) { b.Time -= time.Hour.Milliseconds() },
	} {
		if _, err := ask(change, bob.account); err == nil {
			t.Errorf("%s: renewed", what)
		}
	}
	if _, err := ask(func(b *wire.RenewBody) { b.Account = carol.account.Public() }, carol.account); err == nil {
		t.Error("another account's key renews bob's")
	}
	after, err := ask(asIs, bob.account)
	if err != nil {
		t.Fatal(err)
	}
	for i := range after.Shares {
		was, is := shareOf(t, s, before.Shares[i]), shareOf(t, s, after.Shares[i])
		if seqOf(t, after.Shares[i]) <= seqOf(t, before.Shares[i]) || string(was.Y) != string(is.Y) || was.Dealing != is.Dealing || was.X != is.X {
			t.Errorf("share %d: %+v became %+v", i, was, is)
		}
	}
	trust := s.Node().Trust()
	cert, err := trust.VerifyAccount([][]byte{after.Account, after.Issuer}, clock.Now())
	if err != nil || cert.Key != bob.account.Public() || cert.Number.User() != "101" || cert.NotAfter.Before(clock.Now().Add(80*24*time.Hour)) {
		t.Errorf("account certificate %+v: %v", cert, err)
	}
	if nodeCert, err := trust.VerifyNode([][]byte{after.Node, after.Issuer}, clock.Now()); err != nil || nodeCert.ID != m.node.ID() {
		t.Errorf("node certificate %+v: %v", nodeCert, err)
	}
	if err := m.node.SetIdentity([][]byte{after.Node, after.Issuer}); err != nil {
		t.Error(err)
	}

	// The issuing key's own certificate is renewed while the root key is here.
	was := s.Status().Enrolment.IssuerExpires
	ahead.Store(int64(300 * 24 * time.Hour))
	if err := s.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if now := s.Status().Enrolment.IssuerExpires; !now.After(was.Add(200 * 24 * time.Hour)) {
		t.Errorf("the issuing certificate ends %v, before the renewal %v", now, was)
	}
	s.Node().Link().Drop(func(*link.Conn) bool { return true })
	<-conn.Done()
	if conn, err = m.node.Link().ConnectAny(t.Context(), s.Addr()); err != nil {
		t.Fatalf("after 300 days without a renewal, within the grace: %v", err)
	}
	if latest, err := ask(asIs, bob.account); err != nil || string(latest.Issuer) == string(after.Issuer) {
		t.Errorf("the renewed issuing certificate does not reach bob: %v", err)
	}
}

func seqOf(t *testing.T, r record.Record) uint64 {
	t.Helper()
	b, err := r.Body()
	if err != nil {
		t.Fatal(err)
	}
	return b.Seq
}

func shareOf(t *testing.T, s *bootstrap.Server, r record.Record) *record.Share {
	t.Helper()
	v, err := record.Verify(r, s.Node().Trust(), time.Time{})
	if err != nil || v.Share == nil {
		t.Fatalf("%+v is no share: %v", v, err)
	}
	return v.Share
}
