package carry

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// bobs are three devices of bob, each with a tunnel of its own.
type bobs struct {
	l       *lab
	alice   *phone
	phones  [3]*phone
	reqs    [3]*parsed
	tunnels [3]*memTunnel // the caller's ends
	refuse  [3]error      // instead of a tunnel
	revoked [3]atomic.Bool
}

// standing is a tunnel to a device that may be revoked.
type standing struct {
	*memTunnel
	revoked *atomic.Bool
}

func (s standing) Stands() bool { return !s.revoked.Load() }

// devices is a scene where bob has three devices, once over UDP and once over TCP.
func devices(t *testing.T, play func(b *bobs)) {
	t.Helper()
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			scene(t, transport, nil, func(l *lab, alice, bob *phone) {
				b := &bobs{l: l, alice: alice, phones: [3]*phone{bob, l.phone(l.b, "bob2", transport, "127.0.0.2:5072"), l.phone(l.b, "bob3", transport, "127.0.0.3:5072")}}
				l.openers = []Opener{b.opener(0), b.opener(1), b.opener(2)}
				play(b)
			})
		})
	}
}

// ways lead to bob, or to his devices.
func (l *lab) ways(caller, callID string) []Opener {
	if l.openers != nil {
		return l.openers
	}
	return []Opener{l.openTunnel(caller, callID)}
}

func (b *bobs) opener(i int) Opener {
	return func(context.Context) (Tunnel, string, error) {
		if b.refuse[i] != nil {
			return nil, "", b.refuse[i]
		}
		near, far := tunnelPair(b.l.linkA, netip.AddrFrom4([4]byte{192, 0, 2, byte(10 + i)}))
		b.l.mu.Lock()
		b.tunnels[i] = near
		b.l.mu.Unlock()
		b.l.wg.Go(func() {
			_ = b.l.b.e.Ring(context.Background(), Ring{Caller: aor("alice"), Callee: aor("bob"), CallID: "call-alice", Targets: []Target{b.phones[i].asTarget()}}, far)
		})
		return standing{near, &b.revoked[i]}, "", nil
	}
}

// ring has alice call, and the phones ring that are named; she hears each.
func (b *bobs) ring(which ...int) {
	b.alice.call("", offer)
	for _, i := range which {
		b.reqs[i] = b.phones[i].rung()
		b.phones[i].respond(b.reqs[i], 180, "Ringing", "", "")
		if got := b.alice.expect("SIP/2.0 180"); got.toTag != b.phones[i].tag {
			b.l.t.Errorf("%s rings under the tag %q", b.phones[i].name, got.toTag)
		}
	}
}

// pick has a phone answer, and the call begin.
func (b *bobs) pick(i int) {
	b.phones[i].respond(b.reqs[i], 200, "OK", "", offer)
	ok := b.alice.expect("SIP/2.0 200")
	if ok.toTag != b.phones[i].tag || !strings.Contains(string(ok.Raw), fmt.Sprintf("c=IN IP4 192.0.2.%d", 10+i)) {
		b.l.t.Errorf("not %s answers alice:\n%s", b.phones[i].name, ok.Raw)
	}
	b.alice.learn(ok)
	b.alice.inDialog("ACK", "", "")
	b.phones[i].expect("ACK " + b.phones[i].contact)
}

// silenced checks that a phone is told that the call is elsewhere.
func (b *bobs) silenced(i int, reason string) {
	p := b.phones[i]
	cancel := p.expect("CANCEL ")
	if got := cancel.field("Reason"); got != reason {
		b.l.t.Errorf("%s is cancelled because of %q", p.name, got)
	}
	p.respond(cancel, 200, "OK", "", "")
	p.respond(b.reqs[i], 487, "Request Terminated", "", "")
	p.expect("ACK ")
}

func TestDevicesAllRing(t *testing.T) {
	devices(t, func(b *bobs) {
		b.ring(0, 1, 2)
		b.pick(1)
		b.silenced(0, elsewhere)
		b.silenced(2, elsewhere)
		synctest.Wait()
		calls := b.l.a.e.Calls()
		if len(calls) != 1 || calls[0].State != Answered || calls[0].Peer.String() != "192.0.2.11" {
			b.l.t.Errorf("the caller's adapter sees %+v", calls)
		}
		if calls = b.l.b.e.Calls(); len(calls) != 1 {
			b.l.t.Errorf("the callee's adapters see %+v", calls)
		}
		if e := b.l.b.last(); e.Status != 487 || e.Reason != "answered on another device" {
			b.l.t.Errorf("%+v", e)
		}
		b.alice.silent(0)
		b.phones[1].inDialog("INFO", "", "")
		b.alice.respond(b.alice.expect("INFO "), 200, "OK", "", "")
		b.phones[1].expect("SIP/2.0 200")
		hangUp(b.alice, b.phones[1])
		synctest.Wait()
		if len(b.l.a.e.Calls())+len(b.l.b.e.Calls()) != 0 || len(b.l.a.refusals())+len(b.l.b.refusals()) != 0 {
			b.l.t.Errorf("%v %v", b.l.a.refusals(), b.l.b.refusals())
		}
	})
}

// Two devices are picked up at once: the second is hung up, and alice hears
// nothing of it.
func TestDevicesLateAnswer(t *testing.T) {
	devices(t, func(b *bobs) {
		b.ring(0, 1, 2)
		b.pick(0)
		late := b.phones[2]
		late.expect("CANCEL ")
		late.respond(b.reqs[2], 200, "OK", "", offer)
		if ack := late.expect("ACK " + late.contact); ack.toTag != late.tag || ack.cseq != 1 {
			b.l.t.Errorf("bad ACK:\n%s", ack.Raw)
		}
		bye := late.expect("BYE " + late.contact)
		if bye.toTag != late.tag || bye.cseq != 2 || bye.field("Reason") != elsewhere {
			b.l.t.Errorf("bad BYE:\n%s", bye.Raw)
		}
		late.respond(bye, 200, "OK", "", "")
		b.silenced(1, elsewhere)
		synctest.Wait()
		b.alice.silent(0)
		if n := b.l.a.refusals()[RefusedSecondCall]; n != 1 {
			b.l.t.Errorf("%d second answers are counted", n)
		}
		hangUp(b.phones[0], b.alice)
	})
}

func TestDevicesAllRefuse(t *testing.T) {
	for _, tc := range []struct {
		answers [3]int // 0: the device's adapter has refused, with gone
		gone    int
		want    string
	}{
		{[3]int{486, 480, 500}, 0, "486"},
		{[3]int{500, 404, 480}, 0, "404"},
		{[3]int{487, 480, 503}, 0, "480"},
		{[3]int{486, 0, 487}, 503, "486"},
		{[3]int{0, 0, 401}, 404, "403"},
		{[3]int{486, 603, 480}, 0, "603"},
		{[3]int{0, 0, 0}, 480, "480"},
	} {
		devices(t, func(b *bobs) {
			var rings []int
			for i, status := range tc.answers {
				if status == 0 {
					b.refuse[i] = &Refusal{Code: tc.gone, Reason: "No"}
				} else {
					rings = append(rings, i)
				}
			}
			b.ring(rings...)
			for _, i := range rings {
				if tc.answers[i] < 600 {
					b.phones[i].respond(b.reqs[i], tc.answers[i], "No", "", "")
					b.phones[i].expect("ACK ")
				}
			}
			for _, i := range rings {
				if tc.answers[i] >= 600 {
					b.phones[i].respond(b.reqs[i], tc.answers[i], "No", "", "")
				}
			}
			res := b.alice.expect("SIP/2.0 " + tc.want)
			b.alice.withinInvite("ACK", res.toTag)
			synctest.Wait()
			if e := b.l.a.last(); e.State != Ended || fmt.Sprint(e.Status) != tc.want {
				b.l.t.Errorf("%v: %+v", tc, e)
			}
		})
	}
}

// A 6xx is meant for all devices: they ring no longer.
func TestDevicesDeclinedEverywhere(t *testing.T) {
	devices(t, func(b *bobs) {
		b.ring(0, 1, 2)
		b.phones[1].respond(b.reqs[1], 603, "Decline", "", "")
		b.silenced(0, "")
		b.silenced(2, "")
		b.alice.expect("SIP/2.0 603")
	})
}

func TestDevicesCallerGivesUp(t *testing.T) {
	devices(t, func(b *bobs) {
		b.ring(0, 2)
		b.phones[1].rung() // and says nothing at all
		b.alice.withinInvite("CANCEL", "")
		b.alice.expect("SIP/2.0 200")
		b.silenced(0, "")
		b.silenced(2, "")
		res := b.alice.expect("SIP/2.0 487")
		b.alice.withinInvite("ACK", res.toTag)
		synctest.Wait()
		if e := b.l.a.last(); e.Reason != "cancelled by the caller" || e.Status != 487 {
			b.l.t.Errorf("%+v", e)
		}
	})
}

// A device whose adapter is gone, or goes while it rings, delays nobody; when
// the last has gone, the call is over.
func TestDevicesThatGo(t *testing.T) {
	devices(t, func(b *bobs) {
		b.refuse[2] = errNoPhone
		b.ring(0, 1)
		b.tunnels[0].cut()
		synctest.Wait()
		b.phones[0].expect("CANCEL ")
		b.pick(1)
		hangUp(b.alice, b.phones[1])
	})
	devices(t, func(b *bobs) {
		b.ring(0, 1, 2)
		for i := range b.tunnels {
			b.alice.silent(time.Second)
			b.tunnels[i].mute()
		}
		begin := time.Now()
		b.alice.expect("SIP/2.0 480")
		if d := time.Since(begin); d > silentFor+reportEvery {
			b.l.t.Errorf("after %v", d)
		}
	})
}

// Early media of one device only are heard: of the first that has any, and when
// that has refused, of another. Nobody is asked for reliable ones.
func TestDevicesEarlyMedia(t *testing.T) {
	devices(t, func(b *bobs) {
		b.ring(0, 1, 2)
		if strings.Contains(string(b.reqs[0].Raw), "100rel") {
			b.l.t.Errorf("the INVITE offers 100rel:\n%s", b.reqs[0].Raw)
		}
		for _, step := range []struct {
			phone int
			heard bool
		}{{1, true}, {0, false}, {1, true}, {2, false}} {
			b.phones[step.phone].respond(b.reqs[step.phone], 183, "Session Progress", "", offer)
			if got := b.alice.expect("SIP/2.0 183"); got.isSDP() != step.heard || got.toTag != b.phones[step.phone].tag {
				b.l.t.Errorf("%+v:\n%s", step, got.Raw)
			}
		}
		b.phones[1].respond(b.reqs[1], 486, "Busy Here", "", "")
		synctest.Wait()
		b.phones[2].respond(b.reqs[2], 183, "Session Progress", "", offer)
		if got := b.alice.expect("SIP/2.0 183"); !got.isSDP() {
			b.l.t.Errorf("no early media of the next device:\n%s", got.Raw)
		}
		b.pick(0)
	})
}

// No more than MaxBranches devices ring, and none that is revoked while it does
// gets the call.
func TestDevicesBounded(t *testing.T) {
	devices(t, func(b *bobs) {
		var opened atomic.Int32
		for range MaxBranches {
			b.l.openers = append(b.l.openers, func(context.Context) (Tunnel, string, error) {
				opened.Add(1)
				return nil, "", errNoPhone
			})
		}
		b.ring(0, 1, 2)
		synctest.Wait()
		if n := opened.Load(); n != MaxBranches-3 {
			b.l.t.Errorf("%d further devices are asked", n)
		}
	})
}

// frameAs has a hostile device send a frame, and lets everybody act on it.
func (b *bobs) frameAs(i int, k kind, number uint64, payload string) {
	_ = b.tunnels[i].other.Send(context.Background(), frame{k, number, []byte(payload)}.bytes())
	synctest.Wait()
}

// One device of a callee is in an attacker's hands, and while all ring it acts
// for the others: it answers, hangs up and changes what is theirs.
func TestMatrixF4ADeviceActsInAnothersBranch(t *testing.T) {
	devices(t, func(b *bobs) {
		b.ring(0, 1, 2)
		answer := func(tag string) string {
			return "SIP/2.0 200 OK\r\nFrom: <sip:alice@lan.example>;tag=tag-alice\r\nTo: <sip:bob@lan.example>;tag=" + tag + "\r\nCall-ID: call-alice\r\nCSeq: 1 INVITE\r\n" + sdpBody(offer)
		}
		request := func(method, tag, cseq string) string {
			return method + " sip:alice@lan.example SIP/2.0\r\nMax-Forwards: 70\r\nFrom: <sip:bob@lan.example>;tag=" + tag + "\r\nTo: <sip:alice@lan.example>;tag=tag-alice\r\nCall-ID: call-alice\r\nCSeq: " + cseq + " " + method + "\r\n" + sdpBody("")
		}
		attacks := 0
		attack := func(k kind, number uint64, payload string) {
			attacks++
			b.frameAs(2, k, number, payload)
		}
		attack(kindResponse, 1, answer(b.phones[0].tag)) // in the dialog of another device
		attack(kindResponse, 2, answer("own"))           // to a request that it was not sent
		attack(kindRequest, 1, request("BYE", b.phones[1].tag, "7"))
		b.alice.silent(0)
		b.pick(0)
		b.silenced(1, elsewhere)
		attack(kindRequest, 2, request("BYE", b.phones[0].tag, "8"))
		attack(kindRequest, 3, request("INVITE", b.phones[0].tag, "9"))
		attack(kindResponse, 1, answer("late"))
		b.alice.silent(0)
		refused := 0
		for _, n := range b.l.a.refusals() {
			refused += n
		}
		b.phones[0].inDialog("INFO", "", "") // the call is as it was
		b.alice.respond(b.alice.expect("INFO "), 200, "OK", "", "")
		if refused != attacks {
			b.l.t.Errorf("%d of %d are refused: %v", refused, attacks, b.l.a.refusals())
		}
		hangUp(b.alice, b.phones[0])
		b.l.t.Logf("matrix: F4 a device of the callee acts for another one: 0 of %d", attacks)
	})
}

// A device that is revoked while it rings is picked up: it never has the call,
// and the next one does.
func TestMatrixF4ARevokedDeviceIsPickedUp(t *testing.T) {
	devices(t, func(b *bobs) {
		b.ring(0, 1, 2)
		b.revoked[1].Store(true)
		b.phones[1].respond(b.reqs[1], 200, "OK", "", offer)
		b.phones[1].expect("ACK ")
		b.phones[1].respond(b.phones[1].expect("BYE "), 200, "OK", "", "")
		b.alice.silent(0)
		if n := b.l.a.refusals()[RefusedRevoked]; n != 1 {
			b.l.t.Fatalf("the revoked device's answer is refused %d times", n)
		}
		b.pick(2)
		b.silenced(0, elsewhere)
		hangUp(b.alice, b.phones[2])
		b.l.t.Logf("matrix: F4 a device that is revoked while it rings gets the call: 0 of 1")
	})
}

// A phone, or another adapter, accepts a call with a description that cannot be
// passed on: both sides end it, and the caller is told why.
func TestAnAnswerThatHidesAnAddressEndsTheCall(t *testing.T) {
	hides := offer + "a=rtcp:53 IN IP4 203.0.113.4\r\n"
	both(t, func(l *lab, alice, bob *phone) {
		alice.call("", offer)
		req := bob.rung()
		bob.respond(req, 200, "OK", "", hides)
		bob.expect("ACK ")
		bob.respond(bob.expect("BYE "), 200, "OK", "", "")
		if res := alice.expect("SIP/2.0 488"); !strings.Contains(res.field("Warning"), "a=rtcp leads to another host") || l.b.refusals()[RefusedHidden] != 1 {
			l.t.Errorf("%v\n%s", l.b.refusals(), res.Raw)
		}
	})
	both(t, func(l *lab, alice, bob *phone) {
		near, far := tunnelPair(l.linkA, l.linkB)
		l.openers = []Opener{func(context.Context) (Tunnel, string, error) { return near, "", nil }}
		alice.call("", offer)
		synctest.Wait()
		r := &rogue{l, far}
		r.next()
		r.frame(kindResponse, 1, "SIP/2.0 200 OK\r\nFrom: <sip:alice@lan.example>;tag=tag-alice\r\nTo: <sip:bob@lan.example>;tag=b\r\nCall-ID: call-alice\r\nCSeq: 1 INVITE\r\n"+sdpBody(hides))
		alice.expect("SIP/2.0 488")
		for _, want := range []string{"ACK", "BYE"} {
			if _, p := r.next(); p == nil || p.method != want || p.toTag != "b" {
				l.t.Errorf("no %s: %+v", want, p)
			}
		}
	})
}
