package adapter_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/secp2psip/secp2psip/adapter"
	"github.com/secp2psip/secp2psip/internal/testnet"
	"github.com/secp2psip/secp2psip/sipbridge"
	"github.com/secp2psip/secp2psip/sipbridge/carry"
)

// several is alice, whose adapter carries every call, and bob with two devices,
// each with a phone at an adapter of its own.
func several(t *testing.T, path string) (a, desk, mobile *testnet.Member, alice, bob, pocket *scriptPhone) {
	t.Helper()
	l := testnet.New(t, nil)
	carries := func(c *adapter.Config) {
		many(c)
		c.SIP.Path, c.SIP.Redirect = path, sipbridge.RedirectNever
	}
	link := l.Invite("bob", 2)
	a, desk = l.Add("alice", carries), l.AddWith("bob", "bob-desk", link, carries)
	alice, bob = newScriptPhone(t, a), newScriptPhoneOf(t, desk, "bob", "desk")
	mobile = l.AddWith("bob", "bob-mobile", link, carries)
	pocket = newScriptPhoneOf(t, mobile, "bob", "pocket")
	testnet.Eventually(t, "both devices are found", func() bool { return len(a.Lookup("bob").Devices) == 2 })
	return a, desk, mobile, alice, bob, pocket
}

// Two devices of one person, at two adapters, ring at the same time. The one that
// is picked up has the call, the other shows no missed one.
func TestAllDevicesOfAPersonRing(t *testing.T) {
	t.Parallel()
	for _, path := range []string{sipbridge.PathProtected, sipbridge.PathCarried} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			a, desk, mobile, alice, bob, pocket := several(t, path)
			alice.dial("bob", "", alice.audio(""))
			calls := map[*scriptPhone]string{}
			for _, p := range []*scriptPhone{bob, pocket} {
				calls[p] = p.hear()
				p.answer(calls[p], "180 Ringing", "", "")
			}
			alice.expect("SIP/2.0 180")
			alice.expect("SIP/2.0 180")
			pocket.answer(calls[pocket], "200 OK", "", pocket.audio(""))
			ok := alice.expect("SIP/2.0 200")
			if !strings.Contains(field(ok, "To"), "tag=tagpocket") {
				t.Fatalf("alice is answered\n%s", ok)
			}
			alice.met(ok)
			alice.request("ACK", "", "")
			pocket.expect("ACK ")
			cancel := bob.expect("CANCEL ")
			if field(cancel, "Reason") != `SIP;cause=200;text="Call completed elsewhere"` {
				t.Errorf("the other phone shows a missed call:\n%s", cancel)
			}
			bob.answer(cancel, "200 OK", "", "")
			bob.answer(calls[bob], "487 Request Terminated", "", "")
			bob.expect("ACK ")
			if path == sipbridge.PathProtected {
				toAlice, toPocket := portsIn(ok)["audio"], portsIn(calls[pocket])["audio"]
				alice.say(toAlice, rtp(0, 1))
				pocket.listens(rtp(0, 1))
				bob.say(portsIn(calls[bob])["audio"], rtp(0, 2)) // its media are closed
				pocket.say(toPocket, rtp(0, 3))
				alice.listens(rtp(0, 3))
			}
			testnet.Eventually(t, "the other device's call is over", func() bool { return len(desk.It.Status().Live) == 0 })
			if live := a.It.Status().Live; len(live) != 1 || live[0].Path != path || live[0].State != string(carry.Answered) {
				t.Errorf("alice's adapter has the calls %+v", live)
			}
			alice.request("BYE", "", "")
			pocket.answer(pocket.expect("BYE "), "200 OK", "", "")
			alice.expect("SIP/2.0 200")
			testnet.Eventually(t, "the call is over", func() bool { return len(a.It.Status().Live)+len(mobile.It.Status().Live) == 0 })
		})
	}
}

// A device whose adapter has died rings nobody, and keeps nobody waiting: the
// other one rings at once. When that refuses too, alice hears what it said.
func TestADeadDeviceKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	_, desk, _, alice, _, pocket := several(t, sipbridge.PathProtected)
	desk.Crash()
	alice.dial("bob", "", alice.audio(""))
	pocket.answer(pocket.hear(), "486 Busy Here", "", "")
	pocket.expect("ACK ")
	alice.expect("SIP/2.0 486")
	alice.request("ACK", "", "")
}

// A text reaches all devices of a person at the same time: the first that takes it
// is the answer, and where none does, the one that says most.
func TestATextReachesAllDevices(t *testing.T) {
	t.Parallel()
	_, desk, _, alice, bob, pocket := several(t, sipbridge.PathCarried)
	both := []*scriptPhone{bob, pocket}
	write := func(text string) (got []string) {
		t.Helper()
		alice.callID, alice.own, alice.other = fmt.Sprint("text-", alice.n), alice.me()+";tag=text", "<sip:bob@127.0.0.1>"
		alice.target, alice.route, alice.cseq = "sip:bob@"+alice.at.String(), "", 0
		alice.request("MESSAGE", "Content-Type: text/plain\r\n", text)
		for _, p := range both { // neither has answered
			msg := p.expect("MESSAGE ")
			if !strings.HasSuffix(msg, "\r\n\r\n"+text) {
				t.Errorf("%s gets\n%s", p.mark, msg)
			}
			got = append(got, msg)
		}
		return got
	}
	got := write("hello")
	pocket.answer(got[1], "200 OK", "", "")
	alice.expect("SIP/2.0 200")
	bob.answer(got[0], "486 Busy Here", "", "")
	for _, tc := range []struct{ bob, pocket, want string }{
		{"480 Temporarily Unavailable", "415 Unsupported Media Type", "SIP/2.0 415"},
		{"603 Decline", "488 Not Acceptable Here", "SIP/2.0 603"},
	} {
		got = write("again " + tc.bob[:3])
		bob.answer(got[0], tc.bob, "", "")
		pocket.answer(got[1], tc.pocket, "", "")
		alice.expect(tc.want)
	}
	desk.Crash()
	both = both[1:]
	got = write("to one")
	pocket.answer(got[0], "200 OK", "", "")
	alice.expect("SIP/2.0 200")
}

// A call that the other adapter refuses was not lost: both the phone and the file
// of calls hear so.
func TestARefusedCallSaysSo(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, nil)
	a, b := l.Add("alice", many), l.Add("bob", many)
	newTextPhone(t, a)
	newTextPhone(t, b)
	aor, err := a.It.Account("alice")
	if err != nil {
		t.Fatal(err)
	}
	answer, err := a.It.Call(limited(), sipbridge.Call{Caller: aor, Target: "bob", CallID: "worn", Paths: []string{sipbridge.PathCarried}})
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; ; n++ { // a token is good for two
		tunnel, _, err := answer.Open[0](limited())
		if err != nil {
			t.Fatal(err)
		}
		if n < 3 {
			defer tunnel.Close()
			testnet.Eventually(t, "bob's adapter takes it", func() bool { return len(b.It.Status().Live) == n })
			continue
		}
		if _, err = tunnel.Recv(limited()); err == nil || !strings.Contains(err.Error(), "has refused the call (401)") {
			t.Errorf("the third stream of a token ends with %v", err)
		}
		_ = tunnel.Close()
		return
	}
}
