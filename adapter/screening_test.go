package adapter_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/secp2psip/secp2psip/adapter"
	"github.com/secp2psip/secp2psip/internal/admin"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/testnet"
	"github.com/secp2psip/secp2psip/internal/wire"
	"github.com/secp2psip/secp2psip/sipbridge"
)

// callersAt asks a member's daemon, as the command line does.
func callersAt(t *testing.T, m *testnet.Member, req admin.CallersRequest) (*admin.Callers, error) {
	t.Helper()
	raw, err := json.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	res, err := m.It.Handlers()[admin.MethodCallers](limited(), raw)
	if err != nil {
		return nil, err
	}
	return res.(*admin.Callers), nil
}

func rules(t *testing.T, m *testnet.Member, reqs ...admin.CallersRequest) {
	t.Helper()
	for _, req := range reqs {
		if _, err := callersAt(t, m, req); err != nil {
			t.Fatalf("%+v: %v", req, err)
		}
	}
}

// text sends a right text of the rogue's and returns the signed status.
func (r *rogue) text(conn *link.Conn, callee string) (status int, reason string) {
	r.t.Helper()
	b := r.body(conn, callee)
	m, err := wire.SignText(wire.TextBody{
		Caller: b.Caller, Callee: b.Callee, CallerNode: b.CallerNode, CalleeNode: b.CalleeNode, CallID: b.CallID, Nonce: b.Nonce,
		Time: b.Time, Exporter: b.Exporter, Device: b.Device, ContentType: "text/plain", Body: []byte("buy"),
	}, r.device, r.delegation, r.chain)
	if err != nil {
		r.t.Fatal(err)
	}
	answer, err := conn.Call(limited(), m)
	if err != nil {
		r.t.Fatal(err)
	}
	ack, err := answer.(*wire.TextAck).Body()
	if err != nil {
		r.t.Fatal(err)
	}
	return int(ack.Status), ack.Reason
}

// invited sends a right INVITE of the rogue's and returns the signed answer.
func (r *rogue) invited(conn *link.Conn, callee string) wire.RedirectBody {
	r.t.Helper()
	_, answer := r.ask(conn, r.sign(r.body(conn, callee)))
	m, ok := answer.(*wire.Redirect)
	if !ok {
		r.t.Fatalf("an INVITE is answered by %v", answer)
	}
	b, err := m.Body()
	if err == nil {
		_, err = m.Open(b.Device)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return b
}

// Who is kept out, by name, by the owner of the node, by the overlay or as no
// contact, gets a signed refusal, and bob's phone never hears of it. The same
// calls go through without the rule.
func TestKeptOutCallersNeverRing(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, nil)
	a, b := l.Add("alice", many), l.Add("bob", many)
	newTextPhone(t, a)
	bob := newTextPhone(t, b)
	mallory := newRogue(t, l, "mallory")
	conn := mallory.to(b)
	owner := "owner:" + mallory.node.Owner().String()
	try := func(what string, status int, reqs ...admin.CallersRequest) {
		t.Helper()
		rules(t, b, reqs...)
		if got := mallory.invited(conn, "bob"); int(got.Status) != status || status != 302 && (got.Contact != "" || got.Token != [16]byte{} || len(got.Paths) > 0) {
			t.Errorf("%s: an INVITE is answered %+v, want %d", what, got, status)
		}
		want := status
		if status == 302 {
			want = 200
			defer bob.got(t)
		}
		if got, _ := mallory.text(conn, "bob"); got != want {
			t.Errorf("%s: a text is answered %d, want %d", what, got, want)
		}
	}
	do := func(do, who string) admin.CallersRequest { return admin.CallersRequest{Do: do, Who: who} }
	try("no rule", 302)
	try("name", 603, do(admin.CallersBlock, "mallory"))
	try("again", 603)
	try("allowed", 302, do(admin.CallersAllow, "sip:mallory@"+testnet.Overlay))
	try("owner", 603, do(admin.CallersForget, "mallory"), do(admin.CallersBlock, owner))
	try("name before owner", 302, do(admin.CallersAllow, "mallory"))
	try("overlay", 603, do(admin.CallersForget, "mallory"), do(admin.CallersForget, owner), do(admin.CallersBlock, "@"+testnet.Overlay))
	if status, err := call(t, a, "bob"); status != 603 {
		t.Errorf("alice, of the overlay: %v", err)
	}
	try("owner before overlay", 302, do(admin.CallersAllow, owner))
	try("contacts", 403, do(admin.CallersForget, owner), do(admin.CallersForget, "@"+testnet.Overlay), do(admin.CallersContacts, ""))
	if status, err := call(t, a, "bob"); status != 403 {
		t.Errorf("alice, no contact: %v", err)
	}
	if status, err := call(t, b, "alice"); status != 302 {
		t.Fatal(err)
	}
	testnet.Eventually(t, "alice is a contact", func() bool { status, _ := call(t, a, "bob"); return status == 302 })
	try("anybody", 302, do(admin.CallersAnybody, ""))

	if rings := bob.rings.Load(); rings != 0 {
		t.Errorf("bob's phone rang %d times", rings)
	}
	if refusals(b, "caller_blocked") < 8 || refusals(b, "caller_not_a_contact") < 3 {
		t.Errorf("%v", b.It.Status().Refusals)
	}
	if c := b.It.Status().Accounts[0].Callers; c.Refused < 11 || len(c.Rules) != 0 || len(c.Contacts) != 1 {
		t.Errorf("%+v", c)
	}
}

// Quietly: what a caller hears of a phone that is there is, but for nonces and
// times, to the byte what it hears where none is; for calls and for texts.
func TestQuietRefusalsTellNothing(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, nil)
	b := l.Add("bob", many)
	bob := newTextPhone(t, b)
	mallory := newRogue(t, l, "mallory")
	conn := mallory.to(b)
	hear := func() (heard string) {
		t.Helper()
		r := mallory.invited(conn, "bob")
		r.InviteHash, r.Nonce, r.Time = [32]byte{}, [16]byte{}, 0
		status, reason := mallory.text(conn, "bob")
		return fmt.Sprintf("%+v, %d %s", r, status, reason)
	}
	there := hear()
	bob.got(t)
	rules(t, b, admin.CallersRequest{Do: admin.CallersBlock, Who: "mallory", Quiet: true})
	heard := map[string]string{"blocked": hear()}
	rules(t, b, admin.CallersRequest{Do: admin.CallersForget, Who: "mallory"}, admin.CallersRequest{Do: admin.CallersContacts, Quiet: true})
	heard["no contact"] = hear()
	if call := b.It.Status().Calls[0]; call.Status != 403 || !call.Verified || call.Reason == "" {
		t.Errorf("the people here see %+v", call)
	}
	rules(t, b, admin.CallersRequest{Do: admin.CallersAnybody})
	bob.register(t, b, 1000, 0)
	testnet.Eventually(t, "bob's phone is gone", func() bool { return len(b.It.Status().Accounts[0].Phones) == 0 })
	absent := hear()
	if there == absent {
		t.Error("mallory hears the same of a phone that is there and open to it: this proves nothing")
	}
	for what, got := range heard {
		if diff := cmp.Diff(absent, got); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
	if bob.rings.Load() != 0 {
		t.Error("bob's phone rang")
	}
}

// A rule takes effect at once: a REDIRECT that was given before it opens no
// call any more. Lists outlive a restart.
func TestBlockingTakesEffectAtOnce(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, nil)
	a, b := l.Add("alice", many), l.Add("bob", many)
	newTextPhone(t, a)
	bob := newTextPhone(t, b)
	aor, err := a.It.Account("alice")
	if err != nil {
		t.Fatal(err)
	}
	answer, err := a.It.Call(limited(), sipbridge.Call{Caller: aor, Target: "bob", CallID: "before", Paths: []string{sipbridge.PathCarried}})
	if err != nil {
		t.Fatal(err)
	}
	rules(t, b, admin.CallersRequest{Do: admin.CallersBlock, Who: "alice"})
	if tunnel, _, err := answer.Open[0](limited()); err == nil {
		if frame, err := tunnel.Recv(limited()); err == nil {
			t.Errorf("the call goes on: %q", frame)
		}
		_ = tunnel.Close()
	}
	if refusals(b, "caller_blocked") != 1 || bob.rings.Load() != 0 {
		t.Errorf("%v, and the phone rang %d times", b.It.Status().Refusals, bob.rings.Load())
	}

	b.Stop(t)
	b.Start()
	got, err := callersAt(t, b, admin.CallersRequest{})
	if err != nil {
		t.Fatal(err)
	}
	want := []admin.CallerRule{{Who: "sip:alice@" + testnet.Overlay, Added: got.Rules[0].Added}}
	if diff := cmp.Diff(want, got.Rules); diff != "" || time.Since(got.Rules[0].Added) > time.Hour {
		t.Error(diff)
	}
}

func TestCallersRequests(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, nil)
	b := l.Add("bob", func(c *adapter.Config) { many(c) })
	if _, err := callersAt(t, b, admin.CallersRequest{}); err == nil {
		t.Error("lists of nobody")
	}
	newTextPhone(t, b)
	for _, req := range []admin.CallersRequest{
		{Do: "shout"}, {Do: admin.CallersBlock}, {Do: admin.CallersBlock, Who: "owner:12"}, {Do: admin.CallersBlock, Who: "owner:0000000000000000"},
		{Do: admin.CallersBlock, Who: "@"}, {Do: admin.CallersBlock, Who: "a b"}, {Do: admin.CallersForget, Who: "nobody"},
		{Do: admin.CallersBlock, Who: "x", Account: "alice"}, {Do: admin.CallersBlock, Who: "4711"},
	} {
		if _, err := callersAt(t, b, req); err == nil {
			t.Errorf("%+v is done", req)
		}
	}
	rules(t, b, admin.CallersRequest{Do: admin.CallersBlock, Who: "Eve", Account: "sip:bob@" + testnet.Overlay})
	if got, err := callersAt(t, b, admin.CallersRequest{}); err != nil || len(got.Rules) != 1 || got.Rules[0].Who != "sip:eve@"+testnet.Overlay {
		t.Errorf("%+v, %v", got, err)
	}
}
