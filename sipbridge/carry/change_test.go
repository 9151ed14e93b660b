package carry

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/secp2psip/secp2psip/internal/media"
)

const hidesAddress = offer + "a=rtcp:53 IN IP4 203.0.113.4\r\n"

// offerAt is an offer of another port, with that version.
func offerAt(port, version int) string {
	return strings.NewReplacer("m=audio 4000", fmt.Sprint("m=audio ", port), "o=- 1 1", fmt.Sprint("o=- 1 ", version)).Replace(offer)
}

// ackSame acknowledges the refusal of the last in-dialog INVITE.
func ackSame(p *phone) {
	p.n--
	p.inDialog("ACK", "", "")
}

// A change of the session whose answer hides an address is no change: who has
// offered it hears 488, who has agreed to it is offered what there was before,
// and the call goes on, with every further change in step.
func TestAChangeThatHidesAnAddressIsUndone(t *testing.T) {
	both(t, func(l *lab, alice, bob *phone) {
		establish(alice, bob)
		version := 1
		for _, dir := range [][2]*phone{{alice, bob}, {bob, alice}} {
			for range 2 {
				for _, method := range []string{"INVITE", "UPDATE"} {
					version++
					undone(l, dir[0], dir[1], method, version)
				}
			}
			from, to := dir[0], dir[1]
			version++
			from.inDialog("INVITE", "", offerAt(4000, version))
			re := to.expect("INVITE ")
			if re.cseq != uint32(from.cseq)+4 || media.Version(re.Body) != uint64(version)+4 {
				l.t.Errorf("after four requests of the adapter's own:\n%s", re.Raw)
			}
			to.respond(re, 200, "OK", "", offer)
			if ok := from.expect("SIP/2.0 200"); ok.cseq != uint32(from.cseq) || !ok.isSDP() {
				l.t.Errorf("%s", ok.Raw)
			}
			from.inDialog("ACK", "", "")
			if ack := to.expect("ACK "); ack.cseq != re.cseq {
				l.t.Errorf("ACK %d for %d", ack.cseq, re.cseq)
			}
			from.inDialog("PRACK", fmt.Sprintf("RAck: 1 %d INVITE\r\n", from.cseq), "")
			prack := to.expect("PRACK ")
			if got := prack.field("RAck"); got != fmt.Sprintf("1 %d INVITE", re.cseq) {
				l.t.Errorf("RAck %s names another INVITE than %d", got, re.cseq)
			}
			to.respond(prack, 200, "OK", "", "")
			from.expect("SIP/2.0 200")
		}
		hangUp(alice, bob)
		synctest.Wait()
		for _, s := range []*side{l.a, l.b} {
			if n := s.refusals()[RefusedHidden]; n != 4 {
				l.t.Errorf("%s has counted %d", s.name, n)
			}
		}
	})
}

// undone has a phone ask for a change to which the other agrees with a
// description that hides an address.
func undone(l *lab, from, to *phone, method string, version int) {
	l.t.Helper()
	from.inDialog(method, "", offerAt(4100, version))
	asked := to.expect(method + " ")
	to.respond(asked, 200, "OK", "", hidesAddress)
	confirmed := func(cseq uint32) {
		l.t.Helper()
		if method != "INVITE" {
			return
		}
		if ack := to.expect("ACK "); ack.cseq != cseq || ack.fromTag != asked.fromTag || len(ack.Body) > 0 {
			l.t.Errorf("the 200 for %d is confirmed with\n%s", cseq, ack.Raw)
		}
	}
	confirmed(asked.cseq)
	again := to.expect(method + " ")
	if again.cseq != asked.cseq+1 || !strings.Contains(string(again.Body), "m=audio 4000") || media.Version(again.Body) <= media.Version(asked.Body) || again.field("Contact") == "" {
		l.t.Errorf("after\n%s\n%s is put back with\n%s", asked.Raw, to.name, again.Raw)
	}
	from.inDialog("UPDATE", "", offerAt(4200, version))
	from.expect("SIP/2.0 491")
	from.cseq--
	to.respond(again, 200, "OK", "", offer)
	confirmed(again.cseq)
	res := from.expect("SIP/2.0 488")
	if !strings.Contains(res.field("Warning"), "a=rtcp leads to another host") || res.cseq != uint32(from.cseq) {
		l.t.Errorf("%s", res.Raw)
	}
	from.cseq++ // that of the UPDATE
	if method == "INVITE" {
		from.cseq--
		from.n--
		ackSame(from)
		from.n++
		from.cseq++
	}
}

// A phone that cannot be put back leaves two sessions: both phones are hung up,
// and told and shown why.
func TestAChangeThatCannotBeUndoneEndsTheCall(t *testing.T) {
	for what, answer := range map[string]func(bob *phone, again *parsed){
		"it hides one again": func(bob *phone, again *parsed) { bob.respond(again, 200, "OK", "", hidesAddress) },
		"it refuses":         func(bob *phone, again *parsed) { bob.respond(again, 500, "No", "", "") },
		"it is silent":       func(*phone, *parsed) {},
	} {
		t.Run(what, func(t *testing.T) {
			both(t, func(l *lab, alice, bob *phone) {
				establish(alice, bob)
				alice.inDialog("INVITE", "", offerAt(4100, 2))
				bob.respond(bob.expect("INVITE "), 200, "OK", "", hidesAddress)
				bob.expect("ACK ")
				answer(bob, bob.expect("INVITE "))
				alice.expect("SIP/2.0 488")
				bothHungUp(l, alice, bob, "a=rtcp leads to another host")
			})
		})
	}
}

// bothHungUp expects a BYE at both phones and one reason in all four places.
func bothHungUp(l *lab, alice, bob *phone, why string) {
	l.t.Helper()
	for _, p := range []*phone{alice, bob} {
		bye := p.expect("BYE ")
		if !strings.Contains(bye.field("Reason"), why) {
			l.t.Errorf("%s is hung up with\n%s", p.name, bye.Raw)
		}
		p.respond(bye, 200, "OK", "", "")
	}
	synctest.Wait()
	for _, s := range []*side{l.a, l.b} {
		if e := s.last(); e.State != Ended || !strings.Contains(e.Reason, why) {
			l.t.Errorf("%s: %+v", s.name, e)
		}
	}
}

// Nobody can refuse an ACK: an answer in it that hides an address ends the call.
func TestAnACKThatHidesAnAddressEndsTheCall(t *testing.T) {
	both(t, func(l *lab, alice, bob *phone) {
		alice.call("", "")
		bob.respond(bob.rung(), 200, "OK", "", offer)
		alice.learn(alice.expect("SIP/2.0 200"))
		alice.inDialog("ACK", "", hidesAddress)
		if ack := bob.expect("ACK "); len(ack.Body) > 0 {
			l.t.Errorf("%s", ack.Raw)
		}
		bothHungUp(l, alice, bob, "a=rtcp leads to another host")
	})
	scene(t, "udp", nil, func(l *lab, _, bob *phone) {
		r := rogueCaller(l)
		r.frame(kindRequest, 1, r.request("INVITE", "signed", "m", "", "1", "", ""))
		bob.respond(bob.rung(), 200, "OK", "", offer)
		r.frame(kindRequest, 0, r.request("ACK", "signed", "m", "tag-bob", "1", "", hidesAddress))
		if ack := bob.expect("ACK "); len(ack.Body) > 0 {
			l.t.Errorf("%s", ack.Raw)
		}
		bob.expect("BYE ")
	})
}

// An adapter that lets such an answer through is none of ours: its own phone is
// confirmed and hung up, as is the one here, which hears 488 before.
func TestAnAdapterThatLetsAHiddenAddressThrough(t *testing.T) {
	scene(t, "tcp", nil, func(l *lab, alice, _ *phone) {
		r := rogueCallee(l, alice)
		r.next()
		r.answer(1, 200, "call-alice", "tag-alice", "t", "1 INVITE", "", offer)
		alice.learn(alice.expect("SIP/2.0 200"))
		alice.inDialog("ACK", "", "")
		alice.inDialog("INVITE", "", offerAt(4100, 2))
		alice.expect("SIP/2.0 100")
		r.answer(2, 200, "call-alice", "tag-alice", "t", "2 INVITE", "", hidesAddress)
		alice.expect("SIP/2.0 488")
		if bye := alice.expect("BYE "); !strings.Contains(bye.field("Reason"), "a=rtcp leads") {
			l.t.Errorf("%s", bye.Raw)
		}
		var got []string
		for len(got) < 4 {
			_, p := r.next()
			if p == nil {
				break
			}
			got = append(got, fmt.Sprint(p.method, " ", p.cseq))
		}
		if want := "[ACK 1 INVITE 2 ACK 2 BYE 3]"; fmt.Sprint(got) != want {
			l.t.Errorf("the other adapter gets %v, want %s", got, want)
		}
	})
}

// A provisional answer is a preview of the description, and does without, unless
// it is reliable (RFC 3262): then it counts, and the INVITE fails.
func TestEarlyAnswersThatHideAnAddress(t *testing.T) {
	both(t, func(l *lab, alice, bob *phone) {
		alice.call("", offer)
		req := bob.rung()
		bob.respond(req, 183, "Progress", "", hidesAddress)
		if p := alice.expect("SIP/2.0 183"); len(p.Body) > 0 {
			l.t.Errorf("%s", p.Raw)
		}
		bob.respond(req, 183, "Progress", "Require: 100rel\r\nRSeq: 1\r\n", hidesAddress)
		cancel := bob.expect("CANCEL ")
		bob.respond(cancel, 200, "OK", "", "")
		bob.respond(req, 487, "Request Terminated", "", "")
		bob.expect("ACK ")
		if res := alice.expect("SIP/2.0 488"); !strings.Contains(res.field("Warning"), "a=rtcp leads") {
			l.t.Errorf("%s", res.Raw)
		}
	})
	both(t, func(l *lab, alice, bob *phone) { // a PRACK is refused as any request
		alice.call("Require: 100rel\r\n", "")
		req := bob.rung()
		bob.respond(req, 183, "Progress", "Require: 100rel\r\nRSeq: 7\r\n", offer)
		alice.learn(alice.expect("SIP/2.0 183"))
		alice.inDialog("PRACK", "RAck: 7 1 INVITE\r\n", hidesAddress)
		alice.expect("SIP/2.0 488")
		alice.inDialog("PRACK", "RAck: 7 1 INVITE\r\n", offer)
		bob.respond(bob.expect("PRACK "), 200, "OK", "", "")
		alice.expect("SIP/2.0 200")
	})
}
