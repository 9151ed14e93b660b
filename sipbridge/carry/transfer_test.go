package carry

import (
	"fmt"
	"strings"
	"testing"
)

// followed makes a call whose Call-ID the phone changed after the signed
// exchange, as one does that follows a redirection, or has it kept from others.
func followed(l *lab, alice, bob *phone, own, signed string) {
	l.t.Helper()
	alice.callID, alice.tag, alice.cseq = own, "tag-alice", 1
	alice.from, alice.to = "<sip:alice@127.0.0.1>", "<sip:bob@127.0.0.1>"
	invite := "INVITE sip:bob@127.0.0.1 SIP/2.0\r\n" + alice.via() + "From: <sip:alice@127.0.0.1>;tag=tag-alice\r\nTo: <sip:bob@127.0.0.1>\r\nCall-ID: " + own +
		"\r\nCSeq: 1 INVITE\r\nContact: <" + alice.contact + ">\r\n" + sdpBody(offer)
	err := l.a.e.Carry(Call{From: alice.flow(), Invite: []byte(invite), Caller: aor("alice"), Callee: aor("bob"), CallID: signed, Open: []Opener{l.openTunnel("alice", signed)}})
	if err != nil {
		l.t.Fatal(err)
	}
	req := bob.rung()
	if req.callID != signed || strings.Contains(string(req.Raw), own) {
		l.t.Errorf("bob sees\n%s", req.Raw)
	}
	bob.respond(req, 200, "OK", "", offer)
	alice.learn(alice.expect("SIP/2.0 200"))
	alice.inDialog("ACK", "", "")
	bob.expect("ACK ")
}

// A transfer names the call that is to be replaced as the third phone knows
// it, whoever of the two made that call.
func TestReplacesNamesTheRightCall(t *testing.T) {
	both(t, func(l *lab, alice, bob *phone) {
		const own, signed = "x7@10.1.2.3", "signed"
		followed(l, alice, bob, own, signed)
		// Alice transfers somebody else to bob: seen from another of her calls.
		ask := func(value string) string {
			alice.inDialog("REFER", "Refer-To: <sip:bob@127.0.0.1?Replaces="+value+">\r\n", "")
			refer := bob.expect("REFER ")
			bob.respond(refer, 202, "Accepted", "", "")
			alice.expect("SIP/2.0 202")
			return refer.field("Refer-To")
		}
		if got := ask("x7%4010.1.2.3%3Bto-tag%3Dtag-bob%3Bfrom-tag%3Dtag-alice%3Bearly-only"); !strings.HasSuffix(got, "?Replaces=signed%3Bto-tag%3Dtag-bob%3Bfrom-tag%3Dtag-alice%3Bearly-only>") {
			l.t.Errorf("the known call is %s", got)
		}
		for _, other := range []string{
			"x7%4010.1.2.3%3Bto-tag%3Dtag-alice%3Bfrom-tag%3Dtag-bob", // another's end of it
			"y%3Bto-tag%3Dtag-bob%3Bfrom-tag%3Dtag-alice", "x7%4010.1.2.3", "%zz",
		} {
			if got := ask(other); !strings.HasSuffix(got, "?Replaces="+other+">") {
				l.t.Errorf("%s becomes %s", other, got)
			}
		}
		// Somebody was sent to alice: his call is to take the place of hers with bob.
		for value, want := range map[string]string{
			"signed;to-tag=tag-alice;from-tag=tag-bob": own + ";to-tag=tag-alice;from-tag=tag-bob",
			"signed;to-tag=tag-bob;from-tag=tag-alice": "signed;to-tag=tag-bob;from-tag=tag-alice",
			"signed;to-tag=tag-alice":                  "signed;to-tag=tag-alice",
		} {
			if got := l.a.e.rename(value, false); got != want {
				l.t.Errorf("%s becomes %s", value, got)
			}
		}
		hangUp(alice, bob)
	})
}

// A phone that followed a redirection knows the other by what it was given.
func TestTransferToWhomThePhoneWasRedirected(t *testing.T) {
	tune := func(c *Config) { c.Name = func(user string) string { return strings.TrimSuffix(user, "~token") } }
	scene(t, "udp", tune, func(l *lab, alice, bob *phone) {
		establish(alice, bob)
		alice.inDialog("REFER", "Refer-To: <sip:carol~token@127.0.0.1:5060?Replaces=x%3Bto-tag%3Da%3Bfrom-tag%3Db>\r\n", "")
		refer := bob.expect("REFER ")
		if got := refer.field("Refer-To"); got != "<sip:carol@127.0.0.1?Replaces=x%3Bto-tag%3Da%3Bfrom-tag%3Db>" {
			t.Errorf("bob is sent to %s", got)
		}
		bob.respond(refer, 202, "Accepted", "", "")
		alice.expect("SIP/2.0 202")
		hangUp(alice, bob)
	})
}

// Of what phones say about themselves beside the call, no address crosses.
func TestNoAddressCrossesInReportsAndWarnings(t *testing.T) {
	both(t, func(l *lab, alice, bob *phone) {
		establish(alice, bob)
		frag := "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 10.1.2.3\r\nContact: <sip:x@10.1.2.3>\r\n"
		alice.inDialog("NOTIFY", "Event: refer\r\nSubscription-State: terminated;reason=noresource\r\nTarget-Dialog: x@10.1.2.3\r\n"+
			"Content-Type: message/sipfrag;version=2.0\r\n", "")
		notify := bob.expect("NOTIFY ")
		if len(notify.Body) != 0 || notify.field("Target-Dialog") != "" || notify.field("Subscription-State") == "" {
			l.t.Errorf("%s", notify.Raw)
		}
		bob.respond(notify, 486, "Busy", "Warning: 399 10.1.2.3:5060 \"in 1.2.3\", 307 bob.local \"x\", 399 agent \"y\"\r\n", "")
		if got := alice.expect("SIP/2.0 486").field("Warning"); got != `399 phone "in 1.2.3", 307 phone "x", 399 agent "y"` {
			l.t.Errorf("warning %s", got)
		}
		alice.inDialog("NOTIFY", fmt.Sprintf("Event: refer\r\nContent-Type: message/sipfrag;version=2.0\r\nContent-Length: %d\r\n\r\n%s", len(frag), frag), "")
		notify = bob.expect("NOTIFY ")
		if string(notify.Body) != "SIP/2.0 200 OK\r\n" {
			l.t.Errorf("%s", notify.Raw)
		}
		bob.respond(notify, 200, "OK", "", "")
		alice.expect("SIP/2.0 200")
		hangUp(alice, bob)
	})
}
