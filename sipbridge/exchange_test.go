package sipbridge

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// One INVITE that nobody acknowledges gets one answer, however long one waits,
// and each repetition of it gets the same bytes once.
func TestOneAnswerForOneRequest(t *testing.T) {
	for name, c := range map[string]struct {
		call   func(context.Context, Call) (*Answer, error)
		status int
	}{
		"redirected": {bob, 302},
		"refused":    {nil, 404},
	} {
		t.Run(name, func(t *testing.T) {
			h := &hub{call: c.call}
			r := start(t, h, nil)
			p := r.phone(t, "udp", "alice")
			invite := p.request("INVITE", "bob")
			first := p.ask(invite)
			if first.Status != c.status {
				t.Fatalf("%s", first)
			}
			p.silence()
			for range 3 {
				if again := p.ask(invite); again.String() != first.String() {
					t.Fatalf("repeated:\n%s\nfirst:\n%s", again, first)
				}
			}
			p.silence()
			if _, n := last(h, calls); n != 1 {
				t.Errorf("the hub was asked %d times", n)
			}
			if s := r.Stats(); s.Responses != 4 || s.Repeated != 3 || s.Pending != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// A request of another branch is another request.
func TestBranchesDoNotMix(t *testing.T) {
	h := &hub{call: bob}
	r := start(t, h, nil)
	p, q := r.phone(t, "udp", "alice"), r.phone(t, "udp", "alice")
	one, other := p.request("INVITE", "bob"), q.request("INVITE", "bob") // the same branch, from another port
	if p.ask(one).Status != 302 || q.ask(other).Status != 302 {
		t.Fatal("not redirected")
	}
	p.ask(strings.ReplaceAll(one, "z9hG4bK-alice-1", "z9hG4bK-alice-9"))
	if _, n := last(h, calls); n != 3 {
		t.Errorf("the hub was asked %d times", n)
	}
}

// A branch of RFC 2543 does not identify a request; Call-ID and CSeq do.
func TestOldBranches(t *testing.T) {
	h := &hub{call: bob}
	r := start(t, h, nil)
	p := r.phone(t, "udp", "alice")
	for range 2 {
		msg := p.request("INVITE", "bob", "Via: SIP/2.0/UDP "+p.addr())
		first := p.ask(msg)
		if first.Status != 302 || p.ask(msg).String() != first.String() {
			t.Fatalf("%s", first)
		}
		p.send(strings.Replace(strings.Replace(msg, "INVITE", "ACK", 1), " INVITE", " ACK", 1))
	}
	if _, n := last(h, calls); n != 2 {
		t.Errorf("the hub was asked %d times", n)
	}
}

// held is a hub whose calls wait until the test lets them go.
func held() (h *hub, release chan struct{}, ended *atomic.Int32) {
	release, ended = make(chan struct{}), new(atomic.Int32)
	h = &hub{call: func(ctx context.Context, c Call) (*Answer, error) {
		select {
		case <-release:
			return bob(ctx, c)
		case <-ctx.Done():
			ended.Add(1)
			return nil, ctx.Err()
		}
	}}
	return h, release, ended
}

func TestSlowCallGetsTrying(t *testing.T) {
	h, release, _ := held()
	r := start(t, h, nil)
	p := r.phone(t, "udp", "alice")
	invite := p.request("INVITE", "bob")
	p.send(invite)
	if m := p.recv(); m.Status != 100 {
		t.Fatalf("%s", m)
	}
	p.silence() // one 100 only
	p.send(invite)
	if m := p.recv(); m.Status != 100 {
		t.Fatalf("repeated: %s", m)
	}
	close(release)
	if m := p.recv(); m.Status != 302 {
		t.Fatalf("%s", m)
	}
	if _, n := last(h, calls); n != 1 {
		t.Errorf("the hub was asked %d times", n)
	}
}

func TestCancel(t *testing.T) {
	h, _, ended := held()
	r := start(t, h, nil)
	p := r.phone(t, "udp", "alice")
	invite := p.request("INVITE", "bob")
	p.send(invite)
	if m := p.recv(); m.Status != 100 {
		t.Fatalf("%s", m)
	}
	cancel := strings.NewReplacer("INVITE sip", "CANCEL sip", "1 INVITE", "1 CANCEL").Replace(invite)
	p.send(cancel)
	ok, final := p.recv(), p.recv()
	if ok.Status != 200 || ok.field("CSeq") != "1 CANCEL" || final.Status != 487 || final.field("CSeq") != "1 INVITE" {
		t.Fatalf("%s%s", ok, final)
	}
	if ok.field("To") != final.field("To") {
		t.Errorf("To tags differ: %s, %s", ok.field("To"), final.field("To"))
	}
	eventually(t, "the hub hears of it", func() bool { return ended.Load() == 1 })
	if m := p.ask(invite); m.String() != final.String() {
		t.Errorf("repeated INVITE: %s", m)
	}
	p.send(cancel) // whoever still cancels may have missed the 487
	if a, b := p.recv(), p.recv(); a.String() != final.String() || b.Status != 200 {
		t.Errorf("repeated CANCEL: %s%s", a, b)
	}
	p.silence()
}

func TestCancelOfNothing(t *testing.T) {
	r := start(t, &hub{}, nil)
	p := r.phone(t, "udp", "alice")
	if m := p.ask(p.request("CANCEL", "bob")); m.Status != 481 {
		t.Errorf("%s", m)
	}
}

// The same INVITE over two ways is one call (RFC 3261 §8.2.2.2).
func TestMergedRequest(t *testing.T) {
	h, _, _ := held()
	r := start(t, h, nil)
	p := r.phone(t, "udp", "alice")
	invite := p.request("INVITE", "bob")
	p.send(invite)
	if m := p.recv(); m.Status != 100 {
		t.Fatalf("%s", m)
	}
	if m := p.ask(strings.Replace(invite, "z9hG4bK-alice-1", "z9hG4bK-other", 1)); m.Status != 482 {
		t.Errorf("%s", m)
	}
	if n := r.refused.of(RefusedHops); n != 1 {
		t.Errorf("counted %d times", n)
	}
}

func TestPendingIsBounded(t *testing.T) {
	h, release, _ := held()
	r := start(t, h, func(c *Config) { c.MaxPending = 4 })
	p := r.phone(t, "udp", "alice")
	got := map[int]int{}
	for range 10 {
		p.send(p.request("INVITE", "bob"))
	}
	for range 4 + 6 {
		m := p.recv()
		got[m.Status]++
		if m.Status == 503 && m.field("Retry-After") == "" {
			t.Errorf("no Retry-After: %s", m)
		}
	}
	if got[503] != 6 || got[100] != 4 {
		t.Errorf("%v", got)
	}
	close(release)
	for range 4 {
		if m := p.recv(); m.Status != 302 {
			t.Errorf("%s", m)
		}
	}
	if n := r.refused.of(RefusedOverload); n != 6 {
		t.Errorf("%d counted", n)
	}
}

func TestCallTimesOut(t *testing.T) {
	h, _, ended := held()
	r := start(t, h, func(c *Config) { c.CallTimeout = 50 * time.Millisecond })
	p := r.phone(t, "udp", "alice")
	if m := p.ask(p.request("INVITE", "bob")); m.Status != 408 {
		t.Errorf("%s", m)
	}
	eventually(t, "the hub hears of it", func() bool { return ended.Load() == 1 })
}

// Fifty thousand INVITEs, each from another source, leave no more behind
// than one bounded cache.
func TestManySourcesAreBounded(t *testing.T) {
	r := start(t, &hub{call: bob, forgetful: true}, nil)
	p := r.phone(t, "udp", "alice")
	sample := p.request("INVITE", "bob")
	w := newWorker(r.Bridge)
	from := origin{sock: r.Bridge.udp[0]}
	from.flow.Transport, from.flow.Local = "udp", r.udp
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	goroutines := runtime.NumGoroutine()
	send := func(i int) {
		// All answers go to port 9 of a loopback address, where nobody is.
		from.flow.Remote = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, byte(i >> 16), byte(i >> 8), byte(i)}), uint16(1024+i%60000))
		msg := strings.NewReplacer(p.addr()+";branch=z9hG4bK-alice-1;rport", fmt.Sprintf("127.0.0.9:9;branch=z9hG4bK-%d", i), "alice-1@", fmt.Sprintf("alice-%d@", i)).Replace(sample)
		w.handle([]byte(msg), &from)
	}
	const n = 50_000
	var before uint64
	for i := 1; i <= n; i++ {
		if send(i); i == n/2 {
			before = heap()
		}
	}
	eventually(t, "all are answered", r.settled)
	after := heap()
	s := r.Stats()
	if s.Redirects+uint64(r.refused.of(RefusedOverload)) != n || s.Redirects < n/2 {
		t.Errorf("%d redirects and %d refusals", s.Redirects, r.refused.of(RefusedOverload))
	}
	if s.Kept == 0 || s.Kept*300 > replayBytes || s.Targets > targetsMax {
		t.Errorf("%+v", s)
	}
	if after > before+4<<20 {
		t.Errorf("the heap grew from %d KiB to %d KiB", before>>10, after>>10)
	}
	if g := runtime.NumGoroutine(); g > goroutines+idleWorkers+4 {
		t.Errorf("%d goroutines, %d before", g, goroutines)
	}
}

func TestHubErrors(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		status int
		reason string
		fields string
	}{
		"refusal":      {KeyUnverified("bob's key has changed"), 403, "Callee key verification failed", `Warning: 399 secp2psip "bob's key has changed"`},
		"down":         {OverlayDown("", 5*time.Second), 503, "Service Unavailable", "Retry-After: 5"},
		"wrapped":      {fmt.Errorf("calling: %w", NotRegistered("")), 480, "Temporarily Unavailable", "Warning: 399"},
		"unknown":      {fmt.Errorf("disk on fire"), 500, "Server Internal Error", "Warning: 399"},
		"deadline":     {context.DeadlineExceeded, 408, "Request Timeout", "Warning: 399"},
		"hostile":      {refuse(480, "No\r\nInjected: yes", "x\r\nInjected: \"yes\""), 480, "No  Injected: yes", `Warning: 399 secp2psip "x  Injected: \"yes\""`},
		"out of range": {refuse(200, "OK", ""), 500, "Server Internal Error", ""},
		"busy":         {refuse(600, "Busy Everywhere", ""), 600, "Busy Everywhere", ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := &hub{call: func(context.Context, Call) (*Answer, error) { return nil, c.err }}
			r := start(t, h, nil)
			p := r.phone(t, "udp", "alice")
			m := p.ask(p.request("INVITE", "bob"))
			line, _, _ := strings.Cut(m.String(), "\r\n")
			if line != fmt.Sprintf("SIP/2.0 %d %s", c.status, c.reason) || !strings.Contains(m.String(), c.fields) {
				t.Errorf("%s", m)
			}
			if m.field("Injected") != "" {
				t.Errorf("injected: %s", m)
			}
		})
	}
}
