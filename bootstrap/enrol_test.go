package bootstrap_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/bootstrap"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// newcomer is an adapter that wants to enrol: its keys, and what it asks for.
type newcomer struct {
	account, device, node identity.PrivateKey
	body                  wire.RegisterBody
	clock                 *identity.Clock // of its node; nil = the system's
}

func newNewcomer(t testing.TB, name string, invitation []byte) *newcomer {
	t.Helper()
	key := func() identity.PrivateKey {
		k, err := identity.GenerateKey()
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	n := &newcomer{account: key(), device: key(), node: key()}
	n.body = wire.RegisterBody{
		AOR: "sip:" + name + "@lan.example", Account: n.account.Public(), Device: n.device.Public(), Node: n.node.Public(), Invitation: invitation,
	}
	return n
}

// dial opens an enrolment connection and fetches its challenge.
func dial(t testing.TB, s *bootstrap.Server) (*link.EnrolConn, *wire.EnrolChallenge) {
	t.Helper()
	conn, challenge, err := tryDial(t, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn, challenge
}

// tryDial is dial where a busy machine may lose the connection; the caller closes
// it.
func tryDial(t testing.TB, s *bootstrap.Server) (*link.EnrolConn, *wire.EnrolChallenge, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	conn, err := link.DialEnrol(ctx, s.Addr().String(), s.Fingerprint(), nil)
	if err != nil {
		return nil, nil, err
	}
	answer, err := conn.Call(ctx, &wire.EnrolStart{})
	if err != nil {
		_ = conn.Close()
		return nil, nil, err
	}
	return conn, answer.(*wire.EnrolChallenge), nil
}

// sign binds the request to one connection.
func (n *newcomer) sign(t testing.TB, conn *link.EnrolConn, c *wire.EnrolChallenge) *wire.Register {
	t.Helper()
	exporter, err := conn.Exporter()
	if err != nil {
		t.Fatal(err)
	}
	n.body.Nonce, n.body.Exporter = c.Nonce, exporter
	account := &n.account
	if n.body.Further() {
		account = nil
		n.body.MAC = wire.InvitationMAC(n.body.Invitation, n.body.Device, n.body.Node, n.body.Nonce)
	}
	m, err := wire.SignRegister(n.body, account, n.device, n.node)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// enrol runs the whole of it on a connection of its own, and again, as adapters
// and their phones do, where a busy machine has lost that one: a process that gets
// no processor time for three seconds has let the server's limit for handshakes
// pass.
func (n *newcomer) enrol(t testing.TB, s *bootstrap.Server) (*wire.Registered, error) {
	t.Helper()
	lost := func(err error) bool {
		return errors.Is(err, link.ErrLost) || errors.Is(err, link.ErrTimeout) || errors.Is(err, link.ErrUnreachable)
	}
	for end := time.Now().Add(3 * deadline); ; {
		answer, err := n.enrolOnce(t, s)
		if !lost(err) || time.Now().After(end) {
			return answer, err
		}
		t.Log("asks again:", err)
	}
}

func (n *newcomer) enrolOnce(t testing.TB, s *bootstrap.Server) (*wire.Registered, error) {
	t.Helper()
	conn, challenge, err := tryDial(t, s)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return ask(t, conn, n.sign(t, conn, challenge))
}

func ask(t testing.TB, conn *link.EnrolConn, m *wire.Register) (*wire.Registered, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	answer, err := conn.Call(ctx, m)
	if err != nil {
		return nil, err
	}
	return answer.(*wire.Registered), nil
}

func invite(t testing.TB, s *bootstrap.Server, p bootstrap.InviteParams) []byte {
	t.Helper()
	secret, _, err := s.Invite(p)
	if err != nil {
		t.Fatal(err)
	}
	return secret[:]
}

func wantRefused(t testing.TB, err error, code wire.Code) {
	t.Helper()
	remote, ok := errors.AsType[*link.RemoteError](err)
	if !ok || remote.Code != code {
		t.Errorf("got %v, want a refusal with code %d", err, code)
	}
}

func TestEnrol(t *testing.T) {
	t.Parallel()
	s, _ := run(t, nil)
	bob := newNewcomer(t, "bob", invite(t, s, bootstrap.InviteParams{User: "bob", Number: "101"}))
	got, err := bob.enrol(t, s)
	if err != nil {
		t.Fatal(err)
	}
	trust := s.Node().Trust()
	cert, err := trust.VerifyAccount([][]byte{got.Account, got.Issuer}, time.Now())
	if err != nil || cert.AOR.User() != "bob" || cert.Number.User() != "101" || cert.Key != bob.account.Public() {
		t.Errorf("account certificate %+v: %v", cert, err)
	}
	if len(got.Shares) != 10 || got.Lookup == nil || got.Number == nil || len(got.Peers) == 0 {
		t.Errorf("%d shares, look-up %v, number %v, %d peers", len(got.Shares), got.Lookup != nil, got.Number != nil, len(got.Peers))
	}
	again, err := bob.enrol(t, s) // the first answer may have been lost
	if err != nil {
		t.Fatal("asking again:", err)
	}
	a, err := trust.VerifyNode([][]byte{got.Node, got.Issuer}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	b, err := trust.VerifyNode([][]byte{again.Node, again.Issuer}, time.Now())
	if err != nil || a.ID != b.ID {
		t.Errorf("asking again drew another Node-ID: %v, %v", a.ID, err)
	}
}

// TestMatrixA2TakenNames: whoever asks for a name that is taken gets nothing,
// with or without an invitation, and the name stays as it was.
func TestMatrixA2TakenNames(t *testing.T) {
	t.Parallel()
	s, _ := run(t, func(c *bootstrap.Config) { c.Open = true })
	bob := newNewcomer(t, "bob", invite(t, s, bootstrap.InviteParams{User: "bob"}))
	if _, err := bob.enrol(t, s); err != nil {
		t.Fatal(err)
	}
	attacks := 0
	for range 20 {
		_, err := newNewcomer(t, "bob", nil).enrol(t, s)
		wantRefused(t, err, wire.CodeConflict)
		_, err = newNewcomer(t, "bob", invite(t, s, bootstrap.InviteParams{User: "bob"})).enrol(t, s)
		wantRefused(t, err, wire.CodeConflict)
		attacks += 2
	}
	res, err := bob.enrol(t, s)
	if err != nil || len(res.Shares) != 10 || attacks != 40 {
		t.Errorf("after %d attacks bob's own key is refused: %v", attacks, err)
	}
	t.Logf("matrix: A2 overwrites of an enrolled name: 0 of %d", attacks)
}

// TestMatrixA3OneInvitationManyRedemptions: 1,000 node keys race for one
// invitation that admits N devices, the first of which is there to admit the
// others; exactly N win.
func TestMatrixA3OneInvitationManyRedemptions(t *testing.T) {
	t.Parallel()
	const most, racers, perConnection, workers = 3, 1000, 10, 8
	s, _ := run(t, func(c *bootstrap.Config) { c.Limits.EnrolTime = deadline })
	secret := invite(t, s, bootstrap.InviteParams{User: "bob", Devices: most})
	first := newNewcomer(t, "bob", secret)
	got, err := first.enrol(t, s)
	if err != nil {
		t.Fatal(err)
	}
	first.run(t, s, got)
	var won, refused atomic.Int64
	work := make(chan struct{}, racers/perConnection)
	for range racers / perConnection {
		work <- struct{}{}
	}
	close(work)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range work {
				for _, err := range race(t, s, secret, perConnection) {
					remote, ok := errors.AsType[*link.RemoteError](err)
					switch {
					case err == nil:
						won.Add(1)
					case ok && remote.Code == wire.CodeGone: // the invitation is used up
						refused.Add(1)
					default:
						t.Errorf("a racer got %v", err)
					}
				}
			}
		})
	}
	wg.Wait()
	if won.Load() != most-1 || won.Load()+refused.Load() != racers {
		t.Errorf("%d of %d racers were admitted, want %d beside the first", won.Load(), won.Load()+refused.Load(), most-1)
	}
	t.Logf("matrix: A3 redemptions of an invitation for %d devices that won: %d of %d", most, won.Load()+1, racers+1)
}

// race asks for several new devices over one connection, or over others where
// that one breaks, and returns what each was answered.
func race(t *testing.T, s *bootstrap.Server, secret []byte, many int) (answers []error) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*deadline)
	defer cancel()
	racer := newNewcomer(t, "bob", secret).further()
	for len(answers) < many && ctx.Err() == nil {
		conn, err := link.DialEnrol(ctx, s.Addr().String(), s.Fingerprint(), nil)
		if err != nil {
			continue // too many at once; ctx ends it
		}
		answer, err := conn.Call(ctx, &wire.EnrolStart{})
		for err == nil && len(answers) < many {
			_, err = conn.Call(ctx, racer.sign(t, conn, answer.(*wire.EnrolChallenge)))
			if remote := new(link.RemoteError); err != nil && !errors.As(err, &remote) {
				break // lost: this one asks again
			}
			answers, err = append(answers, err), nil
			racer = newNewcomer(t, "bob", secret).further()
		}
		conn.Close()
	}
	return answers
}

// TestMatrixA4CapturedEnrolment: a whole captured request serves on no other
// connection.
func TestMatrixA4CapturedEnrolment(t *testing.T) {
	t.Parallel()
	s, _ := run(t, nil)
	bob := newNewcomer(t, "bob", invite(t, s, bootstrap.InviteParams{User: "bob"}))
	conn, challenge := dial(t, s)
	captured := bob.sign(t, conn, challenge)
	for range 10 {
		other, _ := dial(t, s)
		_, err := ask(t, other, captured)
		wantRefused(t, err, wire.CodeUnauthorized)
	}
	if _, err := ask(t, conn, captured); err != nil {
		t.Error("the honest one is refused:", err)
	}
	t.Logf("matrix: A4 replays of a captured enrolment accepted: 0 of 10")
}

// TestOpenModeQuotas: an adapter enrols one name by itself, and the overlay
// takes no more names than its operator allows.
func TestOpenModeQuotas(t *testing.T) {
	t.Parallel()
	s, _ := run(t, func(c *bootstrap.Config) { c.Open, c.MaxNames = true, 3 })
	first := newNewcomer(t, "a", nil)
	if _, err := first.enrol(t, s); err != nil {
		t.Fatal(err)
	}
	second := newNewcomer(t, "b", nil)
	second.node, second.body.Node = first.node, first.node.Public()
	_, err := second.enrol(t, s)
	wantRefused(t, err, wire.CodeForbidden)
	for _, name := range []string{"c", "d"} {
		if _, err := newNewcomer(t, name, nil).enrol(t, s); err != nil {
			t.Fatal(err)
		}
	}
	_, err = newNewcomer(t, "e", nil).enrol(t, s)
	wantRefused(t, err, wire.CodeForbidden)
	if _, err := first.enrol(t, s); err != nil {
		t.Errorf("who is enrolled asks again: %v", err)
	}
	if st := s.Status().Enrolment; st.Names != 3 || st.Mode != "open" {
		t.Errorf("%+v", st)
	}
}

// TestMatrixA6Strangers: a node without a certificate gets no ring message
// through.
func TestMatrixA6Strangers(t *testing.T) {
	t.Parallel()
	s, _ := run(t, nil)
	conn, _ := dial(t, s)
	before := s.Node().Store().Stats().Records
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	asked := 0
	for _, m := range []wire.Message{
		&wire.Join{Self: wire.Peer{ID: identity.HashID("mallory")}}, &wire.GetState{}, &wire.Find{}, &wire.Fetch{}, &wire.Notify{}, &wire.Leave{},
	} {
		asked++
		if answer, err := conn.Call(ctx, m); err == nil {
			t.Errorf("%s is answered by %s", m.Type(), answer.Type())
		}
	}
	if st := s.Node().Ring().Status(); st.Members != 1 || s.Node().Store().Stats().Records != before {
		t.Errorf("a stranger left state behind: %d members", st.Members)
	}
	t.Logf("matrix: A6 ring messages of strangers answered: 0 of %d", asked)
}

func TestInvitationsAreForOneNameAndExpire(t *testing.T) {
	t.Parallel()
	s, _ := run(t, nil)
	secret := invite(t, s, bootstrap.InviteParams{User: "bob"})
	_, err := newNewcomer(t, "carol", secret).enrol(t, s)
	wantRefused(t, err, wire.CodeForbidden)
	_, err = newNewcomer(t, "bob", nil).enrol(t, s)
	wantRefused(t, err, wire.CodeUnauthorized)
	_, err = newNewcomer(t, "bob", make([]byte, 16)).enrol(t, s)
	wantRefused(t, err, wire.CodeUnauthorized)
	if _, err := newNewcomer(t, "bob", secret).enrol(t, s); err != nil {
		t.Error("the invitation was used up by who may not use it:", err)
	}
}

// TestNamesAndNumbersShareOneSpace: nobody takes another's number as a name,
// nor a name as a number.
func TestNamesAndNumbersShareOneSpace(t *testing.T) {
	t.Parallel()
	s, _ := run(t, func(c *bootstrap.Config) { c.Open = true })
	if _, err := newNewcomer(t, "bob", invite(t, s, bootstrap.InviteParams{User: "bob", Number: "101"})).enrol(t, s); err != nil {
		t.Fatal(err)
	}
	_, err := newNewcomer(t, "101", nil).enrol(t, s)
	wantRefused(t, err, wire.CodeConflict)
	if _, err := newNewcomer(t, "102", nil).enrol(t, s); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Invite(bootstrap.InviteParams{User: "carol", Number: "102"}); err == nil {
		t.Error("somebody's name is given as a number")
	}
	if _, _, err := s.Invite(bootstrap.InviteParams{User: "carol", Number: "101"}); err == nil {
		t.Error("somebody's number is given again")
	}
}
