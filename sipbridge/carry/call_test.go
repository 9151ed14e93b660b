package carry

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secp2psip/secp2psip/sipbridge/message"
)

// scene is a lab with one phone at each side.
func scene(t *testing.T, transport string, tune func(*Config), play func(l *lab, alice, bob *phone)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, tune)
		alice := l.phone(l.a, "alice", transport, "127.0.0.1:5071")
		bob := l.phone(l.b, "bob", transport, "127.0.0.1:5072")
		l.targets = func() []Target { return []Target{bob.asTarget()} }
		defer l.end()
		play(l, alice, bob)
	})
}

func both(t *testing.T, play func(l *lab, alice, bob *phone)) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) { scene(t, transport, nil, play) })
	}
}

// establish makes the call and answers it.
func establish(alice, bob *phone) {
	alice.call("", offer)
	alice.expect("SIP/2.0 100")
	req := bob.rung()
	bob.respond(req, 180, "Ringing", "", "")
	alice.expect("SIP/2.0 180")
	bob.respond(req, 200, "OK", "", offer)
	alice.learn(alice.expect("SIP/2.0 200"))
	alice.inDialog("ACK", "", "")
	bob.expect("ACK ")
}

func TestCall(t *testing.T) {
	both(t, func(l *lab, alice, bob *phone) {
		t := l.t
		alice.call("", offer)
		alice.expect("SIP/2.0 100")
		req := bob.rung()
		text := string(req.Raw)
		for _, want := range []string{
			"INVITE " + bob.contact + " SIP/2.0\r\n", `From: "alice" <sip:alice@127.0.0.1`, "P-Asserted-Identity: \"alice\" <sip:alice@lan.example>",
			"c=IN IP4 192.0.2.1", "o=- 1 1 IN IP4 192.0.2.1", "Max-Forwards: 68", "Supported: replaces, 100rel\r\n", "Record-Route: <sip:127.0.0.1;lr",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("the callee's INVITE has no %q:\n%s", want, text)
			}
		}
		for _, leak := range []string{alice.addr.String(), "127.0.0.1:5071", "president", "answer-after", "z9hG4bK-alice", "Route: <sip:127.0.0.1:5060", "gruu"} {
			if strings.Contains(text, leak) {
				t.Errorf("the callee's INVITE has %q:\n%s", leak, text)
			}
		}
		if n := req.Count(message.Via); n != 1 {
			t.Errorf("%d Vias", n)
		}
		bob.respond(req, 100, "Trying", "", "")
		bob.respond(req, 180, "Ringing", "", "")
		ringing := alice.expect("SIP/2.0 180")
		if ringing.toTag != "tag-bob" {
			t.Errorf("180 with tag %q", ringing.toTag)
		}
		bob.respond(req, 200, "OK", "Server: bobphone\r\n", offer)
		ok := alice.expect("SIP/2.0 200")
		text = string(ok.Raw)
		for _, want := range []string{"c=IN IP4 192.0.2.2", "Server: bobphone", "branch=z9hG4bK-alice", "Record-Route: <sip:127.0.0.1;lr", "From: \"Me\" <sip:alice@127.0.0.1>;tag=tag-alice"} {
			if !strings.Contains(text, want) {
				t.Errorf("the caller's 200 has no %q:\n%s", want, text)
			}
		}
		if strings.Contains(text, "5072") {
			t.Errorf("the caller sees the callee's phone:\n%s", text)
		}
		alice.learn(ok)
		alice.inDialog("ACK", "", "")
		ack := bob.expect("ACK " + bob.contact)
		if ack.toTag != "tag-bob" || ack.cseq != 1 {
			t.Errorf("bad ACK:\n%s", ack.Raw)
		}
		hangUp(alice, bob)
		synctest.Wait()
		for _, s := range []*side{l.a, l.b} {
			if got := s.states(); !slices.Equal(got, []string{"started", "ringing", "answered", "ended"}) {
				t.Errorf("%s: %v", s.name, got)
			}
			if len(s.refusals()) > 0 || len(s.e.Calls()) > 0 {
				t.Errorf("%s: %v %v", s.name, s.refusals(), s.e.Calls())
			}
		}
	})
}

// hangUp: one phone sends BYE, the other answers it.
func hangUp(from, to *phone) {
	from.inDialog("BYE", "", "")
	bye := to.expect("BYE ")
	to.respond(bye, 200, "OK", "", "")
	from.expect("SIP/2.0 200")
}

func TestByeOfTheCallee(t *testing.T) {
	both(t, func(l *lab, alice, bob *phone) {
		establish(alice, bob)
		bob.inDialog("BYE", "", "")
		bye := alice.expect("BYE sip:alice-0x1@127.0.0.1:5071")
		if bye.toTag != "tag-alice" || bye.fromTag != "tag-bob" || !strings.HasPrefix(string(bye.Get(message.From)), "<sip:bob@127.0.0.1>") {
			l.t.Errorf("bad BYE:\n%s", bye.Raw)
		}
		alice.respond(bye, 200, "OK", "", "")
		bob.expect("SIP/2.0 200")
		synctest.Wait()
		if a, b := l.a.last(), l.b.last(); a.State != Ended || b.State != Ended {
			l.t.Errorf("%+v %+v", a, b)
		}
	})
}

func TestRefusedByThePhone(t *testing.T) {
	for status, reason := range map[int]string{486: "Busy Here", 600: "Busy Everywhere", 603: "Nein danke", 480: "Gone fishing"} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			both(t, func(l *lab, alice, bob *phone) {
				alice.call("", offer)
				req := bob.rung()
				bob.respond(req, status, reason, "", "")
				bob.expect("ACK ")
				res := alice.expect(fmt.Sprintf("SIP/2.0 %d %s\r\n", status, reason))
				if alice.transport == "udp" {
					alice.expect(fmt.Sprintf("SIP/2.0 %d", status)) // repeated until the ACK
				}
				alice.withinInvite("ACK", res.toTag)
				synctest.Wait()
				alice.drain()
				alice.silent(time.Minute)
				bob.silent(time.Minute)
				if e := l.a.last(); e.State != Ended || e.Status != status || e.Reason != reason {
					l.t.Errorf("%+v", e)
				}
			})
		})
	}
}

func TestCancel(t *testing.T) {
	both(t, func(l *lab, alice, bob *phone) {
		alice.call("", offer)
		req := bob.rung()
		bob.respond(req, 180, "Ringing", "", "")
		alice.expect("SIP/2.0 180")
		alice.withinInvite("CANCEL", "")
		alice.expect("SIP/2.0 200")
		cancel := bob.expect("CANCEL " + bob.contact)
		if string(cancel.Get(message.Via)) != string(req.Get(message.Via)) || cancel.cseq != req.cseq {
			l.t.Errorf("the CANCEL does not match:\n%s", cancel.Raw)
		}
		bob.respond(cancel, 200, "OK", "", "")
		bob.respond(req, 487, "Request Terminated", "", "")
		bob.expect("ACK ")
		res := alice.expect("SIP/2.0 487")
		alice.withinInvite("ACK", res.toTag)
		synctest.Wait()
		if e := l.b.last(); e.State != Ended || e.Status != 487 {
			l.t.Errorf("%+v", e)
		}
		alice.drain()
		alice.silent(time.Minute)
	})
}

func TestReinviteAndTheRest(t *testing.T) {
	both(t, func(l *lab, alice, bob *phone) {
		establish(alice, bob)
		for _, dir := range [][2]*phone{{alice, bob}, {bob, alice}} {
			from, to := dir[0], dir[1]
			from.inDialog("INVITE", "", offer)
			from.expect("SIP/2.0 100")
			re := to.expect("INVITE " + to.contact)
			if !strings.Contains(string(re.Raw), "c=IN IP4 192.0.2.") {
				l.t.Errorf("not rewritten:\n%s", re.Raw)
			}
			to.respond(re, 200, "OK", "", offer)
			if ok := from.expect("SIP/2.0 200"); !strings.Contains(string(ok.Raw), "c=IN IP4 192.0.2.") {
				l.t.Errorf("not rewritten:\n%s", ok.Raw)
			}
			from.inDialog("ACK", "", "")
			to.expect("ACK ")
			for _, method := range []string{"UPDATE", "INFO", "MESSAGE", "NOTIFY", "OPTIONS", "PRACK"} {
				from.inDialog(method, "Event: refer\r\nRAck: 1 1 INVITE\r\n", "")
				r := to.expect(method + " " + to.contact)
				if !strings.Contains(string(r.Raw), "RAck: 1 1 INVITE") {
					l.t.Errorf("lost a field:\n%s", r.Raw)
				}
				to.respond(r, 200, "OK", "", "")
				from.expect("SIP/2.0 200")
			}
			from.inDialog("REGISTER", "", "")
			from.expect("SIP/2.0 405")
		}
		hangUp(alice, bob)
	})
}

func TestTransfer(t *testing.T) {
	both(t, func(l *lab, alice, bob *phone) {
		establish(alice, bob)
		alice.inDialog("REFER", "Refer-To: <sip:carol@127.0.0.1:5060?Replaces=x%3Bto-tag%3Da%3Bfrom-tag%3Db&Call-Info=evil>\r\nReferred-By: <sip:mallory@x>\r\n", "")
		refer := bob.expect("REFER ")
		want := "Refer-To: <sip:carol@127.0.0.1?Replaces=x%3Bto-tag%3Da%3Bfrom-tag%3Db>\r\nReferred-By: <sip:alice@127.0.0.1>\r\n"
		if bob.transport == "tcp" {
			want = "Refer-To: <sip:carol@127.0.0.1;transport=tcp?Replaces=x%3Bto-tag%3Da%3Bfrom-tag%3Db>\r\nReferred-By: <sip:alice@127.0.0.1>\r\n"
		}
		if !strings.Contains(string(refer.Raw), want) {
			l.t.Errorf("%s", refer.Raw)
		}
		bob.respond(refer, 202, "Accepted", "", "")
		alice.expect("SIP/2.0 202")
		alice.inDialog("REFER", "Refer-To: <sip:carol@elsewhere.example>\r\n", "")
		alice.expect("SIP/2.0 403")
		hangUp(bob, alice)
	})
}

func TestForwardedCall(t *testing.T) {
	for contact, want := range map[string]string{
		"<sip:carol@127.0.0.1:5060>, <sip:x@evil.example>": "Contact: <sip:carol@127.0.0.1",
		"<sip:x@evil.example>":                             "",
	} {
		both(t, func(l *lab, alice, bob *phone) {
			alice.call("", offer)
			req := bob.rung()
			bob.contact = strings.TrimSuffix(strings.TrimPrefix(contact, "<"), ">")
			bob.respond(req, 302, "Moved Temporarily", "", "")
			if want == "" {
				alice.expect("SIP/2.0 480")
				return
			}
			if res := string(alice.expect("SIP/2.0 302").Raw); !strings.Contains(res, want) || strings.Contains(res, "evil") {
				l.t.Errorf("%s", res)
			}
		})
	}
}

// The tunnel's own Call-ID is another one where the phone changed it to follow
// a redirection; loopback links leave session descriptions alone.
func TestOwnCallIDAndLoopbackLink(t *testing.T) {
	scene(t, "udp", nil, func(l *lab, alice, bob *phone) {
		l.linkA, l.linkB = netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")
		alice.callID = "new"
		alice.tag = "tag-alice"
		invite := "INVITE sip:token@127.0.0.1 SIP/2.0\r\n" + alice.via() + "From: <sip:alice@127.0.0.1>;tag=tag-alice\r\nTo: <sip:token@127.0.0.1>\r\nCall-ID: new\r\nCSeq: 2 INVITE\r\nContact: <" + alice.contact + ">\r\n" + sdpBody(offer)
		err := l.a.e.Carry(Call{From: alice.flow(), Invite: []byte(invite), Caller: aor("alice"), Callee: aor("bob"), CallID: "signed", Open: []Opener{l.openTunnel("alice", "signed")}})
		if err != nil {
			l.t.Fatal(err)
		}
		req := bob.rung()
		if req.callID != "signed" || !strings.Contains(string(req.Raw), offer) {
			l.t.Errorf("%s", req.Raw)
		}
		alice.from, alice.to, alice.cseq = "<sip:alice@127.0.0.1>", "<sip:token@127.0.0.1>", 2
		bob.respond(req, 200, "OK", "", offer)
		alice.learn(alice.expect("SIP/2.0 200"))
		alice.inDialog("ACK", "", "")
		bob.expect("ACK ")
		hangUp(alice, bob)
	})
}
