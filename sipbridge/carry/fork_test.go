package carry

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// forked is a scene where bob has three phones.
func forked(t *testing.T, play func(l *lab, alice *phone, bobs [3]*phone)) {
	t.Helper()
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			scene(t, transport, nil, func(l *lab, alice, bob *phone) {
				bobs := [3]*phone{bob, l.phone(l.b, "bob2", transport, "127.0.0.2:5072"), l.phone(l.b, "bob3", transport, "127.0.0.3:5072")}
				l.targets = func() (out []Target) {
					for _, p := range bobs {
						out = append(out, p.asTarget())
					}
					return out
				}
				play(l, alice, bobs)
			})
		})
	}
}

func ringAll(alice *phone, bobs [3]*phone) (reqs [3]*parsed) {
	alice.call("", offer)
	for i, p := range bobs {
		reqs[i] = p.rung()
		p.respond(reqs[i], 180, "Ringing", "", "")
		alice.expect("SIP/2.0 180")
	}
	return reqs
}

func TestForkOneAnswers(t *testing.T) {
	forked(t, func(l *lab, alice *phone, bobs [3]*phone) {
		reqs := ringAll(alice, bobs)
		bobs[1].respond(reqs[1], 200, "OK", "", offer)
		ok := alice.expect("SIP/2.0 200")
		if ok.toTag != "tag-bob2" {
			l.t.Errorf("answered by %q", ok.toTag)
		}
		alice.learn(ok)
		alice.inDialog("ACK", "", "")
		bobs[1].expect("ACK " + bobs[1].contact)
		for _, i := range []int{0, 2} {
			cancel := bobs[i].expect("CANCEL ")
			if !strings.Contains(string(cancel.Raw), "Call completed elsewhere") {
				l.t.Errorf("a missed call for nothing:\n%s", cancel.Raw)
			}
			bobs[i].respond(cancel, 200, "OK", "", "")
			bobs[i].respond(reqs[i], 487, "Request Terminated", "", "")
			bobs[i].expect("ACK ")
		}
		synctest.Wait()
		alice.drain()
		hangUp(bobs[1], alice)
	})
}

// Two phones are picked up at once: the second is told so at once.
func TestForkLateAnswer(t *testing.T) {
	forked(t, func(l *lab, alice *phone, bobs [3]*phone) {
		reqs := ringAll(alice, bobs)
		bobs[0].respond(reqs[0], 200, "OK", "", offer)
		alice.learn(alice.expect("SIP/2.0 200"))
		alice.inDialog("ACK", "", "")
		bobs[0].expect("ACK ")
		for range 2 { // the phone repeats its answer; there is one BYE only
			bobs[2].respond(reqs[2], 200, "OK", "", offer)
		}
		synctest.Wait()
		acks, byes := 0, []*parsed{}
		for len(bobs[2].in) > 0 {
			switch m := bobs[2].parse(<-bobs[2].in); m.method {
			case "ACK":
				acks++
			case "BYE":
				byes = append(byes, m)
			}
		}
		if acks != 2 || len(byes) != 1 {
			l.t.Fatalf("%d ACKs, %d BYEs", acks, len(byes))
		}
		bye := byes[0]
		if bye.toTag != "tag-bob3" || bye.cseq != reqs[2].cseq+1 || !strings.HasPrefix(string(bye.Raw), "BYE "+bobs[2].contact) {
			l.t.Errorf("bad BYE:\n%s", bye.Raw)
		}
		bobs[2].respond(bye, 200, "OK", "", "")
		synctest.Wait()
		alice.silent(0)
		hangUp(alice, bobs[0])
	})
}

func TestForkBestAnswer(t *testing.T) {
	for _, tc := range []struct {
		answers [3]int
		want    string
	}{
		{[3]int{486, 480, 500}, "486"},
		{[3]int{480, 486, 404}, "486"},
		{[3]int{500, 404, 480}, "404"},
		{[3]int{487, 503, 487}, "503"},
	} {
		forked(t, func(l *lab, alice *phone, bobs [3]*phone) {
			reqs := ringAll(alice, bobs)
			for i, p := range bobs {
				p.respond(reqs[i], tc.answers[i], "No", "", "")
				p.expect("ACK ")
			}
			alice.expect("SIP/2.0 " + tc.want)
		})
	}
}

// A 6xx is meant for all phones of the callee.
func TestForkDeclinedEverywhere(t *testing.T) {
	forked(t, func(l *lab, alice *phone, bobs [3]*phone) {
		reqs := ringAll(alice, bobs)
		bobs[0].respond(reqs[0], 603, "Decline", "", "")
		for _, i := range []int{1, 2} {
			cancel := bobs[i].expect("CANCEL ")
			bobs[i].respond(cancel, 200, "OK", "", "")
			bobs[i].respond(reqs[i], 487, "Request Terminated", "", "")
		}
		alice.expect("SIP/2.0 603")
	})
}

func TestSilentPhones(t *testing.T) {
	forked(t, func(l *lab, alice *phone, bobs [3]*phone) {
		begin := time.Now()
		alice.call("", offer)
		for _, p := range bobs[:2] {
			p.rung()
		}
		req := bobs[2].rung()
		bobs[2].respond(req, 180, "Ringing", "", "")
		alice.expect("SIP/2.0 180")
		time.Sleep(12 * time.Second) // virtual: the silent two are given up
		bobs[2].respond(req, 486, "Busy Here", "", "")
		alice.expect("SIP/2.0 486")
		if d := time.Since(begin); d > 13*time.Second {
			l.t.Errorf("after %v", d)
		}
	})
	both(t, func(l *lab, alice, bob *phone) {
		begin := time.Now()
		alice.call("", offer)
		req := bob.rung()
		res := alice.expect("SIP/2.0 480")
		if d := time.Since(begin); d < 10*time.Second || d > 11*time.Second {
			l.t.Errorf("after %v", d)
		}
		if !strings.Contains(string(res.Raw), "the phone does not answer") {
			l.t.Errorf("%s", res.Raw)
		}
		if n := bob.drain(); bob.transport == "udp" && n != 4 { // 0.5, 1.5, 3.5 and 7.5 s
			l.t.Errorf("the INVITE was repeated %d times", n)
		}
		bob.respond(req, 200, "OK", "", offer) // now
		bob.expect("ACK ")
		bob.expect("BYE ")
		alice.withinInvite("ACK", res.toTag)
	})
}

// A phone whose connection is gone is not waited for.
func TestUnreachablePhone(t *testing.T) {
	scene(t, "tcp", nil, func(l *lab, alice, bob *phone) {
		l.targets = func() []Target {
			f := bob.flow()
			f.Remote = netip.AddrPortFrom(f.Remote.Addr(), 1)
			return []Target{{URI: bob.contact, Flow: f}}
		}
		begin := time.Now()
		alice.call("", offer)
		alice.expect("SIP/2.0 480")
		if d := time.Since(begin); d > time.Second {
			l.t.Errorf("after %v", d)
		}
	})
}

func TestNobodyPicksUp(t *testing.T) {
	both(t, func(l *lab, alice, bob *phone) {
		begin := time.Now()
		alice.call("", offer)
		req := bob.rung()
		bob.respond(req, 180, "Ringing", "", "")
		alice.expect("SIP/2.0 180")
		res := alice.expect("SIP/2.0 408")
		if d := time.Since(begin); d < 180*time.Second || d > 181*time.Second {
			l.t.Errorf("after %v", d)
		}
		alice.withinInvite("ACK", res.toTag)
		cancel := bob.expect("CANCEL ")
		bob.respond(cancel, 200, "OK", "", "")
		bob.respond(req, 487, "Request Terminated", "", "")
		bob.expect("ACK ")
	})
}

func TestNoPhone(t *testing.T) {
	scene(t, "udp", nil, func(l *lab, alice, bob *phone) {
		l.targets = func() []Target { return []Target{{URI: "sip:a\r\nb@x", Flow: bob.flow()}} }
		alice.call("", offer)
		alice.expect("SIP/2.0 480")
	})
}
