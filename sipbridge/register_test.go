package sipbridge

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/sipbridge/message"
)

// clock is overlay time that a test moves.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// registering is a rig with a phone that registers.
type registering struct {
	*rig
	*phone
	clock     *clock
	refreshed chan Registration
}

func newRegistering(t *testing.T, h *hub) *registering {
	c := newClock()
	refreshed := make(chan Registration, 100)
	r := start(t, h, func(cfg *Config) {
		cfg.Now = c.now
		cfg.Refreshed = func(r Registration) { refreshed <- r }
	})
	return &registering{r, r.phone(t, "udp", "alice"), c, refreshed}
}

// register sends a REGISTER; without lines it is one for the phone's own
// contact.
func (r *registering) register(lines ...string) *reply {
	r.phone.t.Helper()
	return r.ask(r.request("REGISTER", "sip:"+r.to.String(), append([]string{"To: <sip:alice@lan.example>", "Call-ID: same"}, lines...)...))
}

// contacts returns the bindings in a 200, as "uri=expires".
func contacts(m *reply) []string {
	c, err := m.Contacts()
	if err != nil {
		return []string{err.Error()}
	}
	var out []string
	for _, a := range c.List {
		e, _ := a.Param("expires")
		out = append(out, string(a.URI)+"="+string(e))
	}
	slices.Sort(out)
	return out
}

func (r *registering) want(m *reply, status int, bindings ...string) {
	r.phone.t.Helper()
	slices.Sort(bindings)
	if m.Status != status || status == 200 && !slices.Equal(contacts(m), bindings) {
		r.phone.t.Fatalf("want %d %v\n%s", status, bindings, m)
	}
}

func (r *registering) published(n int) {
	r.phone.t.Helper()
	if _, got := last(r.hub, registrations); got != n {
		r.phone.t.Fatalf("published %d times, want %d", got, n)
	}
}

func TestRegistrarAnswersAllBindings(t *testing.T) {
	r := newRegistering(t, &hub{})
	m := r.register("Contact: <sip:a@127.0.0.1:5001>;expires=100, sip:b@127.0.0.1:5002;expires=200;q=0.5", "Contact: <sip:b@127.0.0.1:5002>;expires=200;q=0.5")
	r.want(m, 200, "sip:b@127.0.0.1:5002=200")
	m = r.register("Contact: <sip:a@127.0.0.1:5001>;expires=100, sip:b@127.0.0.1:5002;expires=200;q=0.5", "Expires: 300", "m: sip:c@127.0.0.1:5003")
	r.want(m, 200, "sip:a@127.0.0.1:5001=100", "sip:b@127.0.0.1:5002=200", "sip:c@127.0.0.1:5003=300")
	if got, want := m.field("Date"), r.clock.now().Format(http.TimeFormat); got != want {
		t.Errorf("Date %s, want %s", got, want)
	}
	if !strings.Contains(m.String(), "<sip:b@127.0.0.1:5002>;expires=200;q=0.500") {
		t.Errorf("no q: %s", m)
	}
	r.clock.add(30 * time.Second)
	r.want(r.register("Contact:"), 200, "sip:a@127.0.0.1:5001=70", "sip:b@127.0.0.1:5002=170", "sip:c@127.0.0.1:5003=270")
	if got := r.Bindings(aor("alice")); len(got) != 3 || got[2].Contact != "sip:b@127.0.0.1:5002" || got[2].Q != 500 {
		t.Errorf("%+v", got)
	}
	r.want(r.register("Contact: <sip:a@127.0.0.1:5001>;expires=0"), 200, "sip:b@127.0.0.1:5002=170", "sip:c@127.0.0.1:5003=270")
	for _, name := range []string{"gruu", "Supported"} {
		if strings.Contains(strings.ToLower(m.String()), strings.ToLower(name)) {
			t.Errorf("%s in %s", name, m)
		}
	}
}

func TestRegistrarClampsLifetimes(t *testing.T) {
	r := newRegistering(t, &hub{})
	for expires, want := range map[string]int{
		"Expires: 1": 60, "Expires: 100": 100, "Expires: 999999": 3600, "Expires: 4294967295": 3600, "Expires: 99999999999999999999": 3600,
		"Expires: soon": 3600, "Expires: -1": 3600, "Expires:": 3600,
	} {
		m := r.register(expires, "Call-ID: "+strings.ReplaceAll(expires, " ", ""), "Contact: <sip:a@127.0.0.1:5001>")
		r.want(m, 200, fmt.Sprintf("sip:a@127.0.0.1:5001=%d", want))
	}
}

func TestRegistrarStar(t *testing.T) {
	r := newRegistering(t, &hub{})
	r.want(r.register("Expires: 300"), 200, "sip:alice-x@"+r.addr()+"=300")
	r.want(r.register("Contact: *"), 400)
	r.want(r.register("Contact: *", "Expires: 1"), 400)
	r.want(r.register("Contact: *, <sip:x@127.0.0.1>", "Expires: 0"), 400)
	r.published(1)
	r.want(r.register("Contact: *", "Expires: 0"), 200)
	r.published(2)
	if reg, _ := last(r.hub, registrations); len(reg.Bindings) != 0 {
		t.Errorf("%+v", reg)
	}
	if n := r.registrar.size(); n != 0 {
		t.Errorf("%d bindings are left", n)
	}
	eventually(t, "the account is forgotten", func() bool {
		r.registrar.mu.Lock()
		defer r.registrar.mu.Unlock()
		return len(r.registrar.accounts) == 0
	})
}

// A phone that has moved does not leave its old contact behind.
func TestRegistrarReplaces(t *testing.T) {
	r := newRegistering(t, &hub{})
	old := "Contact: <sip:a@127.0.0.1:5001>"
	moved := "Contact: <sip:a@127.0.0.1:5002>"
	t.Run("same Call-ID", func(t *testing.T) {
		r.register(old, "Expires: 100")
		r.want(r.register(moved, "Expires: 100"), 200, "sip:a@127.0.0.1:5002=100")
	})
	t.Run("same instance", func(t *testing.T) {
		instance := `;+sip.instance="<urn:uuid:1>"`
		r.register(old+instance, "Expires: 100", "Call-ID: one")
		m := r.register(moved+instance, "Expires: 100", "Call-ID: two")
		r.want(m, 200, "sip:a@127.0.0.1:5002=100")
		if !strings.Contains(m.String(), instance) {
			t.Errorf("no instance: %s", m)
		}
	})
	t.Run("another phone", func(t *testing.T) {
		r.want(r.register("Contact: <sip:a@127.0.0.1:5003>", "Expires: 100", "Call-ID: three"), 200, "sip:a@127.0.0.1:5002=100", "sip:a@127.0.0.1:5003=100")
	})
	t.Run("the same contact written otherwise", func(t *testing.T) {
		r.want(r.register("Contact: <SIP:%61@127.0.0.1:5003;transport=udp>", "Expires: 100", "Call-ID: four"), 200,
			"sip:a@127.0.0.1:5002=100", "SIP:%61@127.0.0.1:5003;transport=udp=100")
	})
}

func TestRegistrarOrder(t *testing.T) {
	r := newRegistering(t, &hub{})
	r.want(r.register("CSeq: 20 REGISTER", "Expires: 100"), 200, "sip:alice-x@"+r.addr()+"=100")
	r.clock.add(10 * time.Second)
	if m := r.register("CSeq: 19 REGISTER", "Expires: 0"); m.Status != 500 {
		t.Errorf("an older REGISTER: %s", m)
	}
	if m := r.register("CSeq: 19 REGISTER", "Contact: *", "Expires: 0"); m.Status != 500 {
		t.Errorf("an older *: %s", m)
	}
	// The same number again, from a phone that forgot its branch: nothing changes.
	r.want(r.register("CSeq: 20 REGISTER", "Expires: 0"), 200, "sip:alice-x@"+r.addr()+"=90")
	r.want(r.register("CSeq: 21 REGISTER", "Expires: 0"), 200)
	if r.refused.of(RefusedOrder) != 2 {
		t.Errorf("%d counted", r.refused.of(RefusedOrder))
	}
}

// A refresh extends and is not published; the hub may keep it.
func TestRegistrarRefresh(t *testing.T) {
	r := newRegistering(t, &hub{})
	r.want(r.register("Expires: 100"), 200, "sip:alice-x@"+r.addr()+"=100")
	r.clock.add(50 * time.Second)
	r.want(r.register("Expires: 100"), 200, "sip:alice-x@"+r.addr()+"=100")
	r.published(1)
	select {
	case reg := <-r.refreshed:
		if reg.AOR != aor("alice") || !reg.Bindings[0].Expires.Equal(r.clock.now().Add(100*time.Second)) {
			t.Errorf("%+v", reg)
		}
	case <-time.After(patience):
		t.Error("not told")
	}
}

func TestRegistrarRepeats(t *testing.T) {
	r := newRegistering(t, &hub{})
	msg := r.request("REGISTER", "sip:"+r.to.String(), "To: <sip:alice@lan.example>")
	first := r.ask(msg)
	r.clock.add(5 * time.Second)
	if again := r.ask(msg); again.String() != first.String() {
		t.Errorf("%s\n%s", first, again)
	}
	r.published(1)
}

// What cannot be published is not registered.
func TestRegistrarRollsBack(t *testing.T) {
	h := &hub{register: func(context.Context, Registration) error { return OverlayDown("", 7*time.Second) }}
	r := newRegistering(t, h)
	if m := r.register(); m.Status != 503 || m.field("Retry-After") != "7" {
		t.Errorf("%s", m)
	}
	if n := len(r.Bindings(aor("alice"))); n != 0 {
		t.Errorf("%d bindings", n)
	}
	r.want(r.register("Contact:"), 200)
}

// 200 comes only when the registration is published; meanwhile repetitions
// are absorbed, and a second REGISTER waits for its turn.
func TestRegistrarWaitsForPublication(t *testing.T) {
	release := make(chan struct{})
	h := &hub{register: func(ctx context.Context, _ Registration) error {
		select {
		case <-release:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}}
	r := newRegistering(t, h)
	one := r.request("REGISTER", "sip:"+r.to.String(), "To: <sip:alice@lan.example>", "Contact: <sip:a@127.0.0.1:1>", "Call-ID: 1")
	two := r.request("REGISTER", "sip:"+r.to.String(), "To: <sip:alice@lan.example>", "Contact: <sip:b@127.0.0.1:2>", "Call-ID: 2")
	r.send(one)
	eventually(t, "the first is being published", func() bool { _, n := last(h, registrations); return n == 1 })
	r.send(one)
	r.send(two)
	r.silence()
	close(release)
	got := [][]string{contacts(r.recv()), contacts(r.recv())}
	if len(got[0]) != 1 || len(got[1]) != 2 {
		t.Errorf("%v", got)
	}
	r.published(2)
}

func TestRegistrarExpires(t *testing.T) {
	r := newRegistering(t, &hub{})
	r.register("Contact: <sip:a@127.0.0.1:5001>;expires=100, <sip:b@127.0.0.1:5002>;expires=200")
	r.clock.add(101 * time.Second)
	eventually(t, "the rest is published", func() bool {
		reg, n := last(r.hub, registrations)
		return n == 2 && len(reg.Bindings) == 1
	})
	r.clock.add(100 * time.Second)
	eventually(t, "nothing is left", func() bool {
		reg, n := last(r.hub, registrations)
		return n == 3 && len(reg.Bindings) == 0
	})
}

func TestRegistrarIsBounded(t *testing.T) {
	r := newRegistering(t, &hub{})
	for i := range MaxBindings {
		if m := r.register(fmt.Sprintf("Contact: <sip:a@127.0.0.1:%d>", 5000+i), fmt.Sprintf("Call-ID: %d", i)); m.Status != 200 {
			t.Fatalf("%s", m)
		}
	}
	if m := r.register("Contact: <sip:a@127.0.0.1:6000>", "Call-ID: x"); m.Status != 403 {
		t.Errorf("%s", m)
	}
	if n := r.refused.of(RefusedBindings); n != 1 {
		t.Errorf("counted %d times", n)
	}
	reg := newRegistrar(&Config{Now: time.Now})
	for i := range MaxAccounts {
		if _, r := reg.take(context.Background(), aor(fmt.Sprint("u", i))); r != nil {
			t.Fatal(r)
		}
	}
	if _, r := reg.take(context.Background(), aor("more")); r == nil || r.Code != 503 {
		t.Errorf("%v", r)
	}
}

func TestRegistrarRefuses(t *testing.T) {
	r := newRegistering(t, &hub{})
	for name, c := range map[string]struct {
		lines  []string
		status int
	}{
		"other domain":   {[]string{"To: <sip:alice@example.com>"}, 404},
		"nobody":         {[]string{"To: <sip:lan.example>"}, 484},
		"no account":     {[]string{"To: <sip:mallory@lan.example>"}, 403},
		"bad contact":    {[]string{"Contact: <sip:a@x"}, 400},
		"tel contact":    {[]string{"Contact: <tel:1>"}, 400},
		"too many":       {[]string{"Contact: " + strings.Repeat("sip:a@x,", message.MaxContacts) + "sip:b@x"}, 400},
		"too long":       {[]string{"Contact: <sip:" + strings.Repeat("a", 600) + "@x>"}, 400},
		"stray bracket":  {[]string{"Contact: sip:a@x>"}, 400},
		"two Expires":    {[]string{"Expires: 1", "expires: 2"}, 400},
		"space in param": {[]string{"Contact: <sip:a@x>;a b=c"}, 400},
	} {
		if m := r.register(c.lines...); m.Status != c.status {
			t.Errorf("%s: want %d\n%s", name, c.status, m)
		}
	}
	if m := r.ask(r.request("REGISTER", "sip:example.com", "To: <sip:alice@lan.example>")); m.Status != 404 || !strings.Contains(m.field("Warning"), "lan.example") {
		t.Errorf("%s", m)
	}
	r.published(0)
}

func TestRestore(t *testing.T) {
	r := newRegistering(t, &hub{})
	now := r.clock.now()
	good := Binding{Contact: "sip:a@127.0.0.1:5001", Source: netip.MustParseAddrPort("127.0.0.1:5001"), Transport: "udp", CallID: "same", CSeq: 7, Q: 1000, Expires: now.Add(100 * time.Second)}
	old, broken, far := good, good, good
	old.Contact, old.Expires = "sip:b@127.0.0.1", now
	broken.Contact = "nonsense"
	far.Contact, far.Expires = "sip:c@127.0.0.1", now.Add(1000*time.Hour)
	r.Restore(aor("alice"), []Binding{old, broken, good, far})
	if got := r.Bindings(aor("alice")); len(got) != 2 || got[1].Contact != good.Contact || got[0].Expires.After(now.Add(time.Hour)) {
		t.Errorf("%+v", got)
	}
	r.Restore(aor("alice"), nil)
	if n := len(r.Bindings(aor("alice"))); n != 2 {
		t.Errorf("%d bindings", n)
	}
	r.published(0)
	if m := r.register("CSeq: 6 REGISTER", "Contact: <sip:a@127.0.0.1:5001>"); m.Status != 500 {
		t.Errorf("the order is forgotten: %s", m)
	}
}
