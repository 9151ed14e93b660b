package sipbridge

import (
	"strconv"
	"testing"
	"time"
)

// One name calls and writes to one other five times at once and then once a
// second; other pairs are not touched by it.
func TestMatrixH4Pace(t *testing.T) {
	h := &hub{call: bob}
	r := start(t, h, func(c *Config) { c.CallBurst = 0 })
	p := r.phone(t, "udp", "alice")
	through, refused := 0, 0
	for i := range 40 {
		method := []string{"INVITE", "MESSAGE"}[i%2]
		switch m := p.ask(p.request(method, "bob")); m.Status {
		case 302, 200:
			through++
		case 503:
			refused++
			if m.field("Retry-After") != "1" {
				t.Errorf("%s", m)
			}
		default:
			t.Errorf("%s", m)
		}
	}
	if through < 5 || through > 5+int(r.now()/time.Second)+1 || refused != r.refused.of(RefusedPace) || refused == 0 {
		t.Errorf("%d got through, %d were refused, %d counted", through, refused, r.refused.of(RefusedPace))
	}
	if m := p.ask(p.request("INVITE", "carol")); m.Status != 302 {
		t.Errorf("another callee: %s", m)
	}
	q := r.phone(t, "udp", "carol")
	if m := q.ask(q.request("INVITE", "bob")); m.Status != 302 {
		t.Errorf("another caller: %s", m)
	}
	t.Logf("matrix: H4 calls and texts of one pair at once: %d of 40 go through, %d refused; another caller and another callee: all", through, refused)
}

// What is kept is bounded, and forgotten when it says nothing any more.
func TestPaceIsBounded(t *testing.T) {
	r := start(t, &hub{}, nil)
	p := newPace(5, r.seed)
	allowed := 0
	for i := range 3 * pacePairs {
		if p.allow(aor("alice"), strconv.Itoa(i), time.Minute) {
			allowed++
		}
	}
	if allowed != pacePairs || len(p.whole) != pacePairs {
		t.Errorf("%d pairs, %d kept", allowed, len(p.whole))
	}
	if !p.allow(aor("alice"), "another", time.Minute+2*paceEvery) || len(p.whole) != 1 {
		t.Errorf("%d kept", len(p.whole))
	}
	for i, want := range []bool{true, true, true, true, true, false} {
		if got := p.allow(aor("bob"), "x", time.Hour); got != want {
			t.Errorf("call %d: %v", i, got)
		}
	}
	for _, step := range []time.Duration{paceEvery - 1, 2*paceEvery - 1} {
		if got := p.allow(aor("bob"), "x", time.Hour+step); got != (step >= paceEvery) {
			t.Errorf("after %v: %v", step, got)
		}
	}
}
