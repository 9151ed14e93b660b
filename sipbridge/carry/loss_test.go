package carry

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestTunnelLostInACall(t *testing.T) {
	both(t, func(l *lab, alice, bob *phone) {
		establish(alice, bob)
		bob.inDialog("INFO", "", "")
		alice.expect("INFO ")
		l.tunnel().cut()
		for _, p := range []*phone{alice, bob} {
			bye := p.expect("BYE " + p.contact)
			if !strings.Contains(string(bye.Raw), `Reason: SIP;cause=503;text="`) || bye.toTag != p.tag || bye.fromTag != p.remoteTag {
				l.t.Errorf("bad BYE:\n%s", bye.Raw)
			}
			if p == alice && bye.cseq <= 101 { // bob's INFO had 101
				l.t.Errorf("BYE with CSeq %d", bye.cseq)
			}
			p.respond(bye, 200, "OK", "", "")
		}
		bob.expect("SIP/2.0 481") // his INFO
		alice.inDialog("BYE", "", "")
		alice.expect("SIP/2.0 200")
		synctest.Wait()
		if e := l.a.last(); e.State != Ended || !strings.Contains(e.Reason, "lost") {
			l.t.Errorf("%+v", e)
		}
	})
}

// The 200 has come, its ACK has not: the phone must get both ACK and BYE.
func TestTunnelLostBeforeTheACK(t *testing.T) {
	both(t, func(l *lab, alice, bob *phone) {
		alice.call("", offer)
		req := bob.rung()
		bob.respond(req, 200, "OK", "", offer)
		alice.learn(alice.expect("SIP/2.0 200"))
		l.tunnel().cut()
		bob.expect("ACK ")
		bob.respond(bob.expect("BYE "), 200, "OK", "", "")
		alice.inDialog("ACK", "", "")
		alice.respond(alice.expect("BYE "), 200, "OK", "", "")
	})
}

func TestTunnelLostWhileRinging(t *testing.T) {
	both(t, func(l *lab, alice, bob *phone) {
		alice.call("", offer)
		req := bob.rung()
		bob.respond(req, 180, "Ringing", "", "")
		alice.expect("SIP/2.0 180")
		l.tunnel().cut()
		res := alice.expect("SIP/2.0 480")
		if !strings.Contains(string(res.Raw), "lost") {
			l.t.Errorf("%s", res.Raw)
		}
		alice.withinInvite("ACK", res.toTag)
		cancel := bob.expect("CANCEL ")
		bob.respond(cancel, 200, "OK", "", "")
		bob.respond(req, 200, "OK", "", offer) // picked up at that moment
		bob.expect("ACK ")
		bob.respond(bob.expect("BYE "), 200, "OK", "", "")
	})
}

func TestTunnelCannotBeOpened(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want string
	}{
		{errors.New("no route"), "SIP/2.0 480 Temporarily Unavailable"},
		{&Refusal{Code: 503, Reason: "Service Unavailable", RetryAfter: 1500 * time.Millisecond}, "SIP/2.0 503 Service Unavailable"},
		{&Refusal{Code: 603, Reason: "Decline", Warning: `"no"`}, "SIP/2.0 603 Decline"},
	} {
		both(t, func(l *lab, alice, bob *phone) {
			l.openErr = tc.err
			alice.call("", offer)
			res := alice.expect(tc.want)
			if tc.want[8:11] == "503" && res.field("Retry-After") != "2" {
				l.t.Errorf("%s", res.Raw)
			}
			alice.withinInvite("ACK", res.toTag)
			if alice.transport == "udp" {
				alice.drain()
			}
			alice.silent(time.Minute)
		})
	}
}

// Every message to a phone is lost once, and every message of a phone is sent
// twice: the call is the same.
func TestLossAndRepetitionUDP(t *testing.T) {
	scene(t, "udp", nil, func(l *lab, alice, bob *phone) {
		seen := map[string]bool{}
		l.lose = func(to *phone, msg string) bool {
			l.mu.Lock()
			defer l.mu.Unlock()
			key := to.name + msg
			was := seen[key]
			seen[key] = true
			return !was
		}
		twice := func(p *phone, send func()) { send(); p.n--; send() }
		alice.call("", offer)
		alice.send(alice.invite)
		alice.expect("SIP/2.0 100")
		req := bob.rung()
		for range 2 {
			bob.respond(req, 180, "Ringing", "", "")
		}
		alice.expect("SIP/2.0 180")
		for range 2 {
			bob.respond(req, 200, "OK", "", offer)
		}
		alice.learn(alice.expect("SIP/2.0 200"))
		for range 3 { // ACKs differ by branch, so each is lost once at the callee
			alice.inDialog("ACK", "", "")
		}
		synctest.Wait()
		l.lose = nil
		alice.inDialog("ACK", "", "")
		bob.expect("ACK ")
		alice.cseq++
		twice(alice, func() { alice.cseq--; alice.inDialog("BYE", "", "") })
		bye := bob.expect("BYE ")
		synctest.Wait()
		if n := bob.drain(); n != 0 {
			l.t.Errorf("%d more messages than one BYE", n)
		}
		bob.respond(bye, 200, "OK", "", "")
		alice.expect("SIP/2.0 200")
		alice.send("junk") // not ours
	})
}

// An engine that stops says goodbye for everybody.
func TestStop(t *testing.T) {
	both(t, func(l *lab, alice, bob *phone) {
		establish(alice, bob)
		begin := time.Now()
		l.stop()
		for _, p := range []*phone{alice, bob} {
			p.respond(p.expect("BYE "), 200, "OK", "", "")
		}
		l.wg.Wait()
		if d := time.Since(begin); d > 3*time.Second {
			l.t.Errorf("took %v", d)
		}
		if err := l.a.e.Carry(Call{From: alice.flow(), Invite: []byte(alice.invite), Caller: aor("alice"), Callee: aor("bob")}); err == nil {
			l.t.Error("a stopped engine takes a call")
		}
	})
}

// All is given back when calls are over.
func TestNothingStays(t *testing.T) {
	both(t, func(l *lab, alice, bob *phone) {
		establish(alice, bob)
		hangUp(alice, bob)
		time.Sleep(2 * time.Minute) // virtual: every transaction has ended
		synctest.Wait()
		for _, e := range []*Engine{l.a.e, l.b.e} {
			e.mu.Lock()
			if len(e.byID)+len(e.dialogs)+len(e.invites)+e.active != 0 || e.live.Load() != 0 {
				l.t.Errorf("left: %d calls, %d dialogs, %d invites, %d active", len(e.byID), len(e.dialogs), len(e.invites), e.active)
			}
			e.mu.Unlock()
		}
	})
}

func TestTooManyCalls(t *testing.T) {
	scene(t, "udp", func(c *Config) { c.MaxCalls = 1 }, func(l *lab, alice, bob *phone) {
		carol := l.phone(l.a, "carol", "udp", "127.0.0.1:5073")
		establish(alice, bob)
		carol.call("", offer)
		carol.expect("SIP/2.0 503")
		if !l.a.e.Busy() || l.a.refusals()[RefusedBusy] != 1 {
			l.t.Error("not counted")
		}
		hangUp(alice, bob)
		synctest.Wait()
		if l.a.e.Busy() {
			l.t.Error("still busy")
		}
	})
}

// The caller gives up before the tunnel is there; one that comes late is
// closed unused.
func TestCancelBeforeTheTunnel(t *testing.T) {
	both(t, func(l *lab, alice, bob *phone) {
		gate := make(chan struct{})
		near, _ := tunnelPair(l.linkA, l.linkB)
		alice.openWith(func(ctx context.Context) (Tunnel, string, error) {
			<-ctx.Done()
			<-gate
			return near, "", nil
		})
		alice.expect("SIP/2.0 100")
		alice.withinInvite("CANCEL", "")
		alice.expect("SIP/2.0 200")
		res := alice.expect("SIP/2.0 487")
		alice.withinInvite("ACK", res.toTag)
		close(gate)
		<-near.done
		synctest.Wait()
		if e := l.a.last(); e.Status != 487 || e.State != Ended {
			l.t.Errorf("%+v", e)
		}
	})
}

// openWith makes a call whose tunnel the test opens.
func (p *phone) openWith(open Opener) {
	p.callID, p.tag, p.cseq = "call-"+p.name, "tag-"+p.name, 1
	p.from, p.to = "<sip:"+p.name+"@127.0.0.1>", "<sip:bob@127.0.0.1>"
	p.invite = "INVITE sip:bob@127.0.0.1 SIP/2.0\r\n" + p.via() + "From: " + p.from + ";tag=" + p.tag + "\r\nTo: " + p.to + "\r\nCall-ID: " + p.callID + "\r\nCSeq: 1 INVITE\r\n" + sdpBody("")
	err := p.side.e.Carry(Call{From: p.flow(), Invite: []byte(p.invite), Caller: aor(p.name), Callee: aor("bob"), Open: []Opener{open}})
	if err != nil {
		p.lab.t.Fatal(err)
	}
}

// Whoever rings may withdraw the call.
func TestRingEndsWithItsContext(t *testing.T) {
	scene(t, "udp", nil, func(l *lab, _, bob *phone) {
		ctx, cancel := context.WithCancel(context.Background())
		near, far := tunnelPair(l.linkA, l.linkB)
		done := make(chan error, 1)
		go func() {
			done <- l.b.e.Ring(ctx, Ring{Caller: aor("alice"), Callee: aor("bob"), CallID: "signed", Targets: l.targets()}, far)
		}()
		r := &rogue{l, near}
		r.frame(kindRequest, 1, r.request("INVITE", "signed", "m", "", "1", "", ""))
		bob.respond(bob.rung(), 180, "Ringing", "", "")
		synctest.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		<-far.done
		bob.expect("CANCEL ")
	})
}
