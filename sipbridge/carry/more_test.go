package carry

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/secp2psip/secp2psip/sipbridge/message"
)

// Both people are on one adapter: one engine has both ends of the call.
func TestOneAdapterBothEnds(t *testing.T) {
	scene(t, "udp", nil, func(l *lab, alice, _ *phone) {
		l.linkA, l.linkB = netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.1")
		l.b = l.a
		bob := l.phone(l.a, "bob", "udp", "127.0.0.1:5074")
		l.targets = func() []Target { return []Target{bob.asTarget()} }
		establish(alice, bob)
		bob.inDialog("INFO", "", "")
		alice.respond(alice.expect("INFO "+alice.contact), 200, "OK", "", "")
		bob.expect("SIP/2.0 200")
		alice.inDialog("INFO", "", "")
		bob.respond(bob.expect("INFO "+bob.contact), 200, "OK", "", "")
		alice.expect("SIP/2.0 200")
		hangUp(bob, alice)
		synctest.Wait()
		if n := len(l.a.refusals()); n != 0 || len(l.a.e.Calls()) != 0 {
			t.Errorf("%v %v", l.a.refusals(), l.a.e.Calls())
		}
	})
}

// Reliable provisional answers (RFC 3262) and what goes with them happen in
// dialogs that are not confirmed yet.
func TestEarlyDialog(t *testing.T) {
	both(t, func(l *lab, alice, bob *phone) {
		alice.call("Require: 100rel\r\n", "")
		req := bob.rung()
		if req.field("Require") != "100rel" {
			l.t.Errorf("%s", req.Raw)
		}
		bob.respond(req, 183, "Progress", "Require: 100rel\r\nRSeq: 7\r\n", offer)
		p := alice.expect("SIP/2.0 183")
		if p.field("RSeq") != "7" || !p.isSDP() {
			l.t.Errorf("%s", p.Raw)
		}
		alice.learn(p)
		alice.inDialog("PRACK", "RAck: 7 1 INVITE\r\n", offer)
		prack := bob.expect("PRACK " + bob.contact)
		if !strings.Contains(string(prack.Body), "192.0.2.1") {
			l.t.Errorf("%s", prack.Raw)
		}
		bob.respond(prack, 200, "OK", "", "")
		alice.expect("SIP/2.0 200")
		bob.inDialog("UPDATE", "", offer)
		alice.respond(alice.expect("UPDATE "), 200, "OK", "", offer)
		bob.expect("SIP/2.0 200")
		bob.respond(req, 200, "OK", "", "")
		ok := alice.expect("SIP/2.0 200")
		if ok.cseq != 1 || ok.method != "INVITE" {
			l.t.Errorf("%s", ok.Raw)
		}
		alice.cseq = 1
		alice.inDialog("ACK", "", "")
		bob.expect("ACK ")
		alice.cseq = 2
		hangUp(alice, bob)
	})
}

// A re-INVITE is cancelled, refused and timed out like the first INVITE, but
// the call goes on.
func TestReinviteFails(t *testing.T) {
	both(t, func(l *lab, alice, bob *phone) {
		establish(alice, bob)
		bob.inDialog("INVITE", "", offer)
		re := alice.expect("INVITE ")
		alice.respond(re, 488, "Not Acceptable Here", "Warning: 304 x \"no\"\r\n", "")
		alice.expect("ACK ")
		res := bob.expect("SIP/2.0 488")
		if res.field("Warning") != `304 x "no"` {
			l.t.Errorf("%s", res.Raw)
		}
		alice.inDialog("INVITE", "", offer)
		alice.expect("SIP/2.0 100")
		re = bob.expect("INVITE ")
		bob.respond(re, 100, "Trying", "", "")
		cancelSame(alice)
		alice.expect("SIP/2.0 200")
		cancel := bob.expect("CANCEL ")
		bob.respond(cancel, 200, "OK", "", "")
		bob.respond(re, 487, "Request Terminated", "", "")
		alice.expect("SIP/2.0 487")
		alice.inDialog("INVITE", "", offer)
		bob.expect("INVITE ") // and does not answer
		alice.expect("SIP/2.0 408")
		synctest.Wait()
		alice.drain()
		bob.drain()
		hangUp(alice, bob)
	})
}

// cancelSame cancels the last in-dialog INVITE.
func cancelSame(p *phone) {
	p.n--
	p.cseq--
	p.inDialog("CANCEL", "", "")
}

func TestIPv6AndOtherPorts(t *testing.T) {
	if got := hereURI(aor("bob"), Flow{"udp", netip.AddrPort{}, netip.MustParseAddrPort("[::1]:5060")}); got != "sip:bob@[::1]" {
		t.Error(got)
	}
	if got := routeURI(Flow{"tcp", netip.AddrPort{}, netip.MustParseAddrPort("[::1]:5070")}); got != "sip:[::1]:5070;lr;transport=tcp" {
		t.Error(got)
	}
	for user, want := range map[string]string{"bob": "bob", "bøb": "b%C3%B8b", "a;b": "a%3Bb", "a%41": "a%2541"} {
		if got := escapeUser(user); got != want {
			t.Errorf("%q: %q", user, got)
		}
	}
}

func TestWithTag(t *testing.T) {
	for _, tc := range [][3]string{
		{`"A;tag=no" <sip:a@b;x=1>;tag=old;p=q`, "new", `"A;tag=no" <sip:a@b;x=1>;p=q;tag=new`},
		{`sip:a@b;tag=old`, "new", `<sip:a@b>;tag=new`},
		{`<sip:a@b>;tag=old`, "", `<sip:a@b>`},
		{`<sip:a@b>`, "t", `<sip:a@b>;tag=t`},
	} {
		if got := withTag(tc[0], tc[1]); got != tc[2] {
			t.Errorf("%q with %q: %q", tc[0], tc[1], got)
		}
	}
}

// A phone whose Contact is at another port of its host is sent to there; one
// that names an address which is not where it speaks from, to where it speaks
// from; but always with the Request-URI that it gave.
func TestWhereRequestsGo(t *testing.T) {
	from := Flow{"udp", netip.MustParseAddrPort("127.0.0.1:6000"), netip.MustParseAddrPort("127.0.0.1:5060")}
	for contact, want := range map[string]string{
		"<sip:a@127.0.0.1:5070>":             "127.0.0.1:5070",
		"<sip:a@127.0.0.1>":                  "127.0.0.1:5060",
		"<sip:a@192.0.2.9:5070>":             "127.0.0.1:6000",
		"<sip:a@phone.example>":              "127.0.0.1:6000",
		"<sip:a@127.0.0.1:1;transport=tcp>":  "127.0.0.1:6000",
		"<sip:a@127.0.0.1:1?Subject=x>":      "127.0.0.1:6000",
		"<tel:123>":                          "127.0.0.1:6000",
		"<sip:a@127.0.0.1:2>, <sip:b@x:999>": "127.0.0.1:2",
	} {
		p, err := read([]byte("SIP/2.0 200 OK\r\nFrom: <sip:a@b>\r\nTo: <sip:a@b>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nContact: "+contact+"\r\n\r\n"), true)
		if err != nil {
			t.Fatal(err)
		}
		d := &dialog{}
		d.refresh(from, p)
		if d.flow.Remote.String() != want {
			t.Errorf("%s: %v, want %s", contact, d.flow.Remote, want)
		}
	}
}

// The proxies of a phone's own get their Routes, in the right order.
func TestRecordRoutes(t *testing.T) {
	p, err := read([]byte("SIP/2.0 200 OK\r\nFrom: <sip:a@b>\r\nTo: <sip:a@b>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nRecord-Route: <sip:one;lr>\r\nRecord-Route: <sip:two;lr>\r\nRecord-Route: <sip:us;lr>\r\n\r\n"), true)
	if err != nil {
		t.Fatal(err)
	}
	d := &dialog{}
	if d.recordRoutes(p, true, "sip:us;lr"); !slices.Equal(d.routes, []string{"<sip:one;lr>", "<sip:two;lr>"}) {
		t.Error(d.routes)
	}
	if d.recordRoutes(p, false, "sip:us;lr"); !slices.Equal(d.routes, []string{"<sip:two;lr>", "<sip:one;lr>"}) {
		t.Error(d.routes)
	}
}

// Compact names mean the same (RFC 3261 §7.3.3).
func TestCompactNames(t *testing.T) {
	scene(t, "udp", nil, func(l *lab, alice, bob *phone) {
		alice.from, alice.to, alice.callID, alice.tag, alice.cseq = "<sip:alice@127.0.0.1>", "<sip:bob@127.0.0.1>", "cc", "tag-alice", 1
		alice.send("INVITE sip:bob@127.0.0.1 SIP/2.0\r\nv: SIP/2.0/UDP 127.0.0.1:5071;branch=z9hG4bKq\r\nf: <sip:alice@127.0.0.1>;tag=tag-alice\r\nt: sip:bob@127.0.0.1\r\ni: cc\r\nCSeq: 1 INVITE\r\nm: <" + alice.contact + ">\r\nc: application/sdp\r\nk: timer\r\nl: " +
			"0\r\n\r\n")
		req := bob.rung()
		if req.field("k") != "timer" || req.Count(message.Via) != 1 {
			t.Errorf("%s", req.Raw)
		}
		bob.respond(req, 486, "Busy", "", "")
		alice.expect("SIP/2.0 486")
	})
}
