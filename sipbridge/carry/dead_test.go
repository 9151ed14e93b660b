package carry

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// mute loses everything in both directions, and tells nobody.
func (m *memTunnel) mute() {
	m.dead.Store(true)
	m.other.dead.Store(true)
}

// An adapter that dies in a call, its host's network and all, is noticed in
// less than 15 s: both phones are hung up, each by its own adapter, with a
// reason. Silence of the phones is no such thing.
func TestADeadPathEndsTheCall(t *testing.T) {
	both(t, func(l *lab, alice, bob *phone) {
		establish(alice, bob)
		time.Sleep(time.Hour) // virtual; nobody says a word
		if n := alice.drain() + bob.drain(); n > 0 {
			l.t.Fatalf("%d messages in silence", n)
		}
		begin := time.Now()
		l.tunnel().mute()
		for _, p := range []*phone{alice, bob} {
			bye := p.expect("BYE ")
			if !strings.Contains(string(bye.Raw), `Reason: SIP;cause=503;text="the other side's adapter has fallen silent"`) {
				l.t.Errorf("%s", bye.Raw)
			}
			p.respond(bye, 200, "OK", "", "")
		}
		if d := time.Since(begin); d > 15*time.Second {
			l.t.Errorf("noticed after %v", d)
		}
		synctest.Wait() // the BYE is sent before the end is reported
		for _, s := range []*side{l.a, l.b} {
			if e := s.last(); e.State != Ended || e.Reason == "" {
				l.t.Errorf("%s: %+v", s.name, e)
			}
		}
	})
}
