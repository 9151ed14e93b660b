package carry

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// The program died in a call: its next run hangs up the phone, with what was
// kept on disk at the answer, whatever has crossed since then.
func TestHangUpAfterACrash(t *testing.T) {
	both(t, func(l *lab, alice, bob *phone) {
		establish(alice, bob)
		for range 3 {
			bob.inDialog("INFO", "", "")
			alice.respond(alice.expect("INFO "), 200, "OK", "", "")
			bob.expect("SIP/2.0 200")
		}
		synctest.Wait()
		for _, was := range []struct {
			old   *side
			phone *phone
			seen  int // CSeq of the last request to the phone
		}{{l.a, alice, 103}, {l.b, bob, 1}} {
			kept, err := json.Marshal(was.old.last().Left)
			var left Left
			if err = errors.Join(err, json.Unmarshal(kept, &left)); err != nil {
				l.t.Fatal(err)
			}
			next := l.side("next", nil)
			was.phone.side = next
			if err := next.e.HangUp(left, "a crash"); err != nil {
				l.t.Fatal(err)
			}
			bye := was.phone.expect("BYE " + was.phone.contact)
			if bye.callID != was.phone.callID || bye.toTag != was.phone.tag || bye.fromTag != was.phone.remoteTag || int(bye.cseq) <= was.seen ||
				!strings.Contains(string(bye.Raw), `Reason: SIP;cause=503;text="a crash"`) {
				l.t.Errorf("%s", bye.Raw)
			}
			if was.phone.transport == "udp" {
				again := was.phone.expect("BYE ") // it was not heard
				if string(again.Raw) != string(bye.Raw) {
					l.t.Errorf("repeated as\n%s", again.Raw)
				}
			}
			was.phone.respond(bye, 200, "OK", "", "")
			was.phone.silent(time.Minute)
			synctest.Wait()
			next.e.mu.Lock()
			if len(next.e.byID) != 0 || next.e.active != 0 || next.e.live.Load() != 0 || len(next.states()) != 0 {
				l.t.Errorf("left behind: %d calls, %d active; reported %v", len(next.e.byID), next.e.active, next.states())
			}
			next.e.mu.Unlock()
		}
	})
}

func TestHangUpRefuses(t *testing.T) {
	scene(t, "udp", nil, func(l *lab, alice, bob *phone) {
		establish(alice, bob)
		synctest.Wait()
		good := *l.a.last().Left
		for what, spoil := range map[string]func(*Left){
			"no Call-ID":   func(l *Left) { l.CallID = "" },
			"no phone":     func(l *Left) { l.URI = "" },
			"no address":   func(l *Left) { l.Flow = Flow{} },
			"another line": func(l *Left) { l.To += "\r\nX: y" },
		} {
			bad := good
			spoil(&bad)
			if err := l.a.e.HangUp(bad, "a crash"); !errors.Is(err, ErrMalformed) {
				l.t.Errorf("%s: %v", what, err)
			}
		}
		bob.silent(time.Minute) // nobody answers or gives up
		good.Flow.Remote = bob.addr
		if err := l.a.e.HangUp(good, "a crash"); err != nil {
			l.t.Fatal(err)
		}
		time.Sleep(2 * time.Minute) // virtual: the BYE was never answered
		synctest.Wait()
		if n := len(l.a.e.Calls()); n != 1 {
			l.t.Errorf("%d calls", n)
		}
	})
}
