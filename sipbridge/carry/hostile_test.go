package carry

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// The far adapter is authenticated, so its owner is known; it may still be
// broken or malicious. These tests are that adapter: they hold the far end of
// a tunnel and write frames by hand. Whatever they send, the phone must see
// nothing but its own call, under the verified name.

// rogue is a hand-written far adapter.
type rogue struct {
	l *lab
	t *memTunnel
}

// rogueCaller opens a tunnel to bob's adapter.
func rogueCaller(l *lab) *rogue {
	near, far := tunnelPair(l.linkA, l.linkB)
	l.wg.Go(func() {
		_ = l.b.e.Ring(context.Background(), Ring{Caller: aor("mallory"), Callee: aor("bob"), CallID: "signed", Targets: l.targets()}, far)
	})
	return &rogue{l, near}
}

func (r *rogue) frame(k kind, number uint64, payload string) {
	_ = r.t.Send(context.Background(), frame{k, number, []byte(payload)}.bytes())
	synctest.Wait()
}

// request writes a request as an adapter would.
func (r *rogue) request(method, callID, fromTag, toTag, cseq, extra, body string) string {
	to := "<sip:bob@lan.example>"
	if toTag != "" {
		to += ";tag=" + toTag
	}
	return fmt.Sprintf("%s sip:bob@lan.example SIP/2.0\r\nMax-Forwards: 69\r\nFrom: <sip:boss@lan.example>;tag=%s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %s %s\r\n%s%s",
		method, fromTag, to, callID, cseq, method, extra, sdpBody(body))
}

// next returns what the other adapter sent, "" if nothing.
func (r *rogue) next() (frame, *parsed) {
	synctest.Wait()
	select {
	case b := <-r.t.in:
		f, err := decodeFrame(b)
		if err != nil {
			r.l.t.Fatal(err)
		}
		p, err := readWire(f.payload)
		if err != nil && f.kind != kindCancel {
			r.l.t.Fatalf("%v\n%s", err, f.payload)
		}
		return f, p
	default:
		return frame{}, nil
	}
}

func TestHostileCallerIdentity(t *testing.T) {
	scene(t, "udp", nil, func(l *lab, _, bob *phone) {
		r := rogueCaller(l)
		r.frame(kindRequest, 1, r.request("INVITE", "signed", "m", "", "1",
			"P-Asserted-Identity: <sip:boss@lan.example>\r\nRemote-Party-ID: <sip:boss@lan.example>\r\nContact: <sip:boss@203.0.113.9>\r\n"+
				"Via: SIP/2.0/UDP 203.0.113.9;branch=z9hG4bKx\r\nRoute: <sip:203.0.113.9;lr>\r\nRecord-Route: <sip:203.0.113.9;lr>\r\n"+
				"Call-Info: <sip:x>;answer-after=0\r\nAlert-Info: <http://x>;info=alert-autoanswer\r\nAnswer-Mode: Auto\r\n"+
				"Proxy-Authenticate: Digest realm=x\r\nHistory-Info: <sip:boss@lan.example>\r\n", offer))
		req := bob.rung()
		text := string(req.Raw)
		for _, bad := range []string{"boss", "203.0.113.9", "Call-Info", "Alert-Info", "Answer-Mode", "Digest", "127.0.0.1\r\ns="} {
			if strings.Contains(text, bad) {
				t.Errorf("the phone sees %q:\n%s", bad, text)
			}
		}
		if !strings.Contains(text, `From: "mallory" <sip:mallory@127.0.0.1>;tag=m`) {
			t.Errorf("%s", text)
		}
		if !strings.Contains(text, "c=IN IP4 192.0.2.1") || l.b.refusals()[RefusedLoopback] != 1 {
			t.Errorf("media aimed at the phone's own host: %v\n%s", l.b.refusals(), text)
		}
		bob.respond(req, 401, "Unauthorized", "WWW-Authenticate: Digest realm=x, nonce=y\r\n", "")
		if _, res := r.next(); res == nil || res.Status != 403 || strings.Contains(string(res.Raw), "nonce") {
			t.Errorf("%+v", res)
		}
	})
}

func TestHostileFrames(t *testing.T) {
	for _, tc := range []struct {
		name   string
		send   func(r *rogue)
		reason string
	}{
		{"empty", func(r *rogue) { _ = r.t.Send(context.Background(), nil) }, RefusedFrame},
		{"unknown kind", func(r *rogue) { r.frame(9, 5, "x") }, RefusedFrame},
		{"not SIP", func(r *rogue) { r.frame(kindRequest, 5, "hello") }, RefusedFrame},
		{"response as request", func(r *rogue) {
			r.frame(kindResponse, 5, r.request("INFO", "signed", "m", "tag-bob", "2", "", ""))
		}, RefusedFrame},
		{"bare LF hides a field", func(r *rogue) {
			r.frame(kindRequest, 5, r.request("INFO", "signed", "m", "tag-bob", "2", "Subject: x\nRoute: <sip:evil>\r\n", ""))
		}, RefusedFrame},
		{"CR in a value", func(r *rogue) {
			r.frame(kindRequest, 5, r.request("INFO", "signed", "m", "tag-bob", "2", "Subject: x\rRoute: <sip:evil>\r\n", ""))
		}, RefusedFrame},
		{"control character", func(r *rogue) {
			r.frame(kindRequest, 5, r.request("INFO", "signed", "m", "tag-bob", "2", "Subject: \x1b[2J\r\n", ""))
		}, RefusedFrame},
		{"two Call-IDs", func(r *rogue) {
			r.frame(kindRequest, 5, r.request("INFO", "signed", "m", "tag-bob", "2", "Call-ID: signed\r\n", ""))
		}, RefusedFrame},
		{"trailing bytes", func(r *rogue) {
			r.frame(kindRequest, 5, r.request("INFO", "signed", "m", "tag-bob", "2", "", "")+"INVITE sip:x SIP/2.0\r\n\r\n")
		}, RefusedFrame},
		{"another Call-ID", func(r *rogue) {
			r.frame(kindRequest, 5, r.request("INFO", "other", "m", "tag-bob", "2", "", ""))
		}, RefusedOtherCall},
		{"another from tag", func(r *rogue) {
			r.frame(kindRequest, 5, r.request("BYE", "signed", "n", "tag-bob", "2", "", ""))
		}, RefusedOtherCall},
		{"another to tag", func(r *rogue) {
			r.frame(kindRequest, 5, r.request("BYE", "signed", "m", "tag-eve", "2", "", ""))
		}, RefusedOtherCall},
		{"a second call", func(r *rogue) {
			r.frame(kindRequest, 5, r.request("INVITE", "signed", "m", "", "2", "", ""))
		}, RefusedOtherCall},
		{"an old number", func(r *rogue) {
			r.frame(kindRequest, 1, r.request("INFO", "signed", "m", "tag-bob", "2", "", ""))
		}, RefusedTransaction},
		{"ACK with a number", func(r *rogue) {
			r.frame(kindRequest, 5, r.request("ACK", "signed", "m", "tag-bob", "1", "", ""))
		}, RefusedTransaction},
		{"an answer to nothing", func(r *rogue) {
			r.frame(kindResponse, 77, "SIP/2.0 200 OK\r\nFrom: <sip:a@b>;tag=m\r\nTo: <sip:a@b>;tag=tag-bob\r\nCall-ID: signed\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n")
		}, RefusedTransaction},
		{"cancel of nothing", func(r *rogue) { r.frame(kindCancel, 77, "") }, RefusedTransaction},
		{"REGISTER", func(r *rogue) {
			r.frame(kindRequest, 5, r.request("REGISTER", "signed", "m", "tag-bob", "2", "", ""))
		}, RefusedMethod},
		{"bad SDP", func(r *rogue) {
			r.frame(kindRequest, 5, r.request("INVITE", "signed", "m", "tag-bob", "2", "", "v=1\r\n"))
		}, RefusedSDP},
		{"transfer out of the overlay", func(r *rogue) {
			r.frame(kindRequest, 5, r.request("REFER", "signed", "m", "tag-bob", "2", "Refer-To: <sip:premium@evil.example>\r\n", ""))
		}, RefusedTarget},
	} {
		t.Run(tc.name, func(t *testing.T) {
			scene(t, "udp", nil, func(l *lab, _, bob *phone) {
				r := rogueCaller(l)
				r.frame(kindRequest, 1, r.request("INVITE", "signed", "m", "", "1", "", ""))
				bob.respond(bob.rung(), 200, "OK", "", "")
				r.frame(kindRequest, 0, r.request("ACK", "signed", "m", "tag-bob", "1", "", ""))
				bob.expect("ACK ")
				tc.send(r)
				synctest.Wait()
				if n := l.b.refusals()[tc.reason]; n != 1 {
					t.Errorf("%s counted %d times: %v", tc.reason, n, l.b.refusals())
				}
				bob.silent(0)
				// The call goes on.
				bob.inDialog("BYE", "", "")
				for {
					f, p := r.next()
					if p == nil {
						t.Fatal("no BYE")
					}
					if f.kind == kindRequest && p.method == "BYE" {
						break
					}
				}
			})
		})
	}
}

// A flood of valid requests: the tunnel is read no faster than a call needs,
// and no more than a bounded number waits for the phone.
func TestHostileFlood(t *testing.T) {
	scene(t, "udp", nil, func(l *lab, _, bob *phone) {
		r := rogueCaller(l)
		r.frame(kindRequest, 1, r.request("INVITE", "signed", "m", "", "1", "", ""))
		bob.respond(bob.rung(), 200, "OK", "", "")
		for i := range 1000 {
			_ = r.t.Send(context.Background(), frame{kindRequest, uint64(i + 2), []byte(r.request("INFO", "signed", "m", "tag-bob", fmt.Sprint(i+2), "", ""))}.bytes())
		}
		time.Sleep(time.Second) // virtual
		distinct := map[uint32]bool{}
		for len(bob.in) > 0 {
			if m := bob.parse(<-bob.in); m.method == "INFO" {
				distinct[m.cseq] = true
			}
		}
		if len(distinct) > maxPending || l.b.refusals()[RefusedTooMany] == 0 || len(r.t.out) < 1000-frameBurst-2*framesPerSecond {
			t.Errorf("%d reached the phone, %v, %d left", len(distinct), l.b.refusals(), len(r.t.out))
		}
	})
}

// A tunnel without a sign of life is closed, and so is one without a call.
func TestHostileSilence(t *testing.T) {
	for _, tc := range []struct {
		alive bool
		after time.Duration
	}{{false, silentFor}, {true, openTimeout}} {
		scene(t, "udp", nil, func(l *lab, _, bob *phone) {
			r := rogueCaller(l)
			begin := time.Now()
			for end := time.After(openTimeout); ; {
				select {
				case <-r.t.other.done:
				case <-end:
				case <-time.After(reportEvery):
					if tc.alive {
						_ = r.t.Send(context.Background(), frame{kindReport, 0, report{}.bytes()}.bytes())
					}
					continue
				}
				break
			}
			<-r.t.other.done
			if d := time.Since(begin); d != tc.after {
				t.Errorf("alive %v: after %v", tc.alive, d)
			}
		})
	}
}

// stuck is a tunnel whose other end takes nothing.
type stuck struct{ *memTunnel }

func (s stuck) Send(ctx context.Context, _ []byte) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestHostileStandstill(t *testing.T) {
	scene(t, "udp", nil, func(l *lab, alice, _ *phone) {
		near, _ := tunnelPair(l.linkA, l.linkB)
		alice.call("", offer)
		synctest.Wait()
		alice.drain()
		second := strings.ReplaceAll(strings.ReplaceAll(alice.invite, "branch=z9hG4bK-alice", "branch=z9hG4bK-other"), "tag=tag-alice", "tag=two")
		err := l.a.e.Carry(Call{From: alice.flow(), Invite: []byte(second), Caller: aor("alice"), Callee: aor("bob"),
			Open: []Opener{func(context.Context) (Tunnel, string, error) { return stuck{near}, "", nil }}})
		if err != nil {
			t.Fatal(err)
		}
		alice.expect("SIP/2.0 100")
		alice.expect("SIP/2.0 480")
	})
}

// rogueCallee answers alice's call by hand.
func rogueCallee(l *lab, alice *phone) *rogue {
	near, far := tunnelPair(l.linkA, l.linkB)
	l.openErr = nil
	alice.callID, alice.tag, alice.cseq = "call-alice", "tag-alice", 1
	alice.from, alice.to = "<sip:alice@127.0.0.1>", "<sip:bob@127.0.0.1>"
	invite := "INVITE sip:bob@127.0.0.1 SIP/2.0\r\n" + alice.via() + "From: <sip:alice@127.0.0.1>;tag=tag-alice\r\nTo: <sip:bob@127.0.0.1>\r\nCall-ID: call-alice\r\nCSeq: 1 INVITE\r\nContact: <" + alice.contact + ">\r\n" + sdpBody(offer)
	alice.invite = invite
	err := l.a.e.Carry(Call{From: alice.flow(), Invite: []byte(invite), Caller: aor("alice"), Callee: aor("bob"),
		Open: []Opener{func(context.Context) (Tunnel, string, error) { return near, "", nil }}})
	if err != nil {
		l.t.Fatal(err)
	}
	return &rogue{l, far}
}

func (r *rogue) answer(number uint64, status int, callID, fromTag, toTag, cseq, extra, body string) {
	r.frame(kindResponse, number, fmt.Sprintf("SIP/2.0 %d Well\r\nFrom: <sip:x@lan.example>;tag=%s\r\nTo: <sip:y@lan.example>;tag=%s\r\nCall-ID: %s\r\nCSeq: %s\r\n%s%s",
		status, fromTag, toTag, callID, cseq, extra, sdpBody(body)))
}

func TestHostileCallee(t *testing.T) {
	scene(t, "tcp", nil, func(l *lab, alice, _ *phone) {
		r := rogueCallee(l, alice)
		if f, p := r.next(); f.number != 1 || p == nil || p.method != "INVITE" || strings.Contains(string(p.Raw), "5071") || p.Has(1 /* Via */) {
			t.Fatalf("%+v %s", f, p.Raw)
		}
		alice.expect("SIP/2.0 100")
		want := map[string]int{}
		check := func(reason string) {
			t.Helper()
			synctest.Wait()
			want[reason]++
			if got := l.a.refusals()[reason]; got != want[reason] {
				t.Errorf("%s: %d, want %d; %v", reason, got, want[reason], l.a.refusals())
			}
			alice.silent(0)
		}
		r.answer(1, 200, "other", "tag-alice", "t", "1 INVITE", "", "")
		check(RefusedOtherCall)
		r.answer(1, 200, "call-alice", "tag-eve", "t", "1 INVITE", "", "")
		check(RefusedOtherCall)
		r.answer(1, 200, "call-alice", "tag-alice", "t", "2 INVITE", "", "")
		check(RefusedOtherCall)
		r.answer(1, 200, "call-alice", "tag-alice", "t", "1 BYE", "", "")
		check(RefusedOtherCall)
		r.answer(1, 200, "call-alice", "tag-alice", "", "1 INVITE", "", "")
		check(RefusedOtherCall) // ";tag=" is no tag
		r.answer(2, 200, "call-alice", "tag-alice", "t", "1 INVITE", "", "")
		check(RefusedTransaction)
		for i := range maxDialogs {
			r.answer(1, 183, "call-alice", "tag-alice", fmt.Sprint("early", i), "1 INVITE", "", "")
			alice.expect("SIP/2.0 183")
		}
		r.answer(1, 183, "call-alice", "tag-alice", "onetoomany", "1 INVITE", "", "")
		check(RefusedTooMany)
		r.answer(1, 200, "call-alice", "tag-alice", "early0", "1 INVITE", "Proxy-Authenticate: x\r\nContact: <sip:evil@203.0.113.9>\r\n", strings.ReplaceAll(offer, "127.0.0.1", "203.0.113.7"))
		ok := alice.expect("SIP/2.0 200")
		if text := string(ok.Raw); strings.Contains(text, "203.0.113.9") || strings.Contains(text, "Proxy-Auth") {
			t.Errorf("%s", text)
		}
		alice.learn(ok)
		alice.inDialog("ACK", "", "")
		r.answer(1, 200, "call-alice", "tag-alice", "early1", "1 INVITE", "", "")
		check(RefusedSecondCall)
		r.answer(1, 486, "call-alice", "tag-alice", "early0", "1 INVITE", "", "")
		check(RefusedTransaction)
		// A new INVITE must not ring the caller.
		r.frame(kindRequest, 1, strings.ReplaceAll(r.request("INVITE", "call-alice", "x", "", "7", "", ""), "\r\nTo: <sip:bob@lan.example>", "\r\nTo: <sip:alice@lan.example>"))
		check(RefusedOtherCall)
	})
}

// The other adapter's address is what a wrong session description falls back
// to; on a link within one host there is nothing to fall back to.
func TestHostileNothingOnLoopbackLinks(t *testing.T) {
	scene(t, "udp", nil, func(l *lab, _, bob *phone) {
		l.linkA, l.linkB = netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.1")
		r := rogueCaller(l)
		r.frame(kindRequest, 1, r.request("INVITE", "signed", "m", "", "1", "", offer))
		if req := bob.rung(); !strings.Contains(string(req.Raw), "c=IN IP4 127.0.0.1") {
			t.Errorf("%s", req.Raw)
		}
	})
}
