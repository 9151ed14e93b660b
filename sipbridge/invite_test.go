package sipbridge

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/sipbridge/carry"
)

// All ways to write a name here are one name; others are refused with a word
// on what can be dialled.
func TestNames(t *testing.T) {
	h := &hub{call: bob}
	r := start(t, h, func(c *Config) {
		c.Listen = []string{"127.0.0.1:0"}
		c.HostIPs = func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("192.0.2.7")} }
	})
	p := r.phone(t, "udp", "alice")
	port := r.udp.Port()
	for target, want := range map[string]string{
		"sip:bob@127.0.0.1":                              "bob",
		fmt.Sprintf("sip:bob@127.0.0.1:%d", port):        "bob",
		"sip:bob@127.0.0.2":                              "bob",
		"sip:bob@[::1]":                                  "bob",
		"sip:bob@localhost":                              "bob",
		"sip:bob@LocalHost":                              "bob",
		"sip:bob@192.0.2.7":                              "bob",
		"sip:bob@lan.example":                            "bob",
		"sip:bob@LAN.example;transport=udp":              "bob",
		"sip:bob@host.test":                              "bob",
		"sip:b%6Fb@127.0.0.1":                            "bob",
		"sip:bob:secret@127.0.0.1":                       "bob",
		"sip:101@127.0.0.1;user=phone":                   "101",
		"sip:101;phone-context=x@127.0.0.1":              "101",
		"sip:Bob%20Smith@127.0.0.1":                      "Bob Smith",
		"sip:bob@lan.example;key=s23r-irmi-miv3":         "bob*s23r-irmi-miv3",
		"sip:bob*s23rirmimiv3drznkbhw@127.0.0.1":         "bob*s23rirmimiv3drznkbhw",
		"sip:bob@example.com;key=s23rirmimiv3drznkbhw":   "",
		"sip:bob@example.com":                            "",
		"sip:bob@192.0.2.8":                              "",
		"sip:bob@127.0.0.1:5999":                         "",
		"sip:bob@xn--lan.example":                        "",
		"sip:bob@127.0.0.1.example.com":                  "",
		"sip:bob~aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@[::1]": "bob~aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	} {
		_, before := last(h, calls)
		m := p.ask(p.request("INVITE", target))
		c, after := last(h, calls)
		switch {
		case want != "" && (m.Status != 302 || after != before+1 || c.Target != want):
			t.Errorf("%s: asked for %q\n%s", target, c.Target, m)
		case want == "" && (m.Status != 404 || after != before || !strings.Contains(m.field("Warning"), "bob@lan.example")):
			t.Errorf("%s: %s", target, m)
		}
	}
	if r.refused.of(RefusedForeignHost) == 0 {
		t.Error("not counted")
	}
}

// An outbound proxy setting puts a Route to us into the request; a Route to
// others is not followed.
func TestRoutes(t *testing.T) {
	h := &hub{call: bob}
	r := start(t, h, nil)
	p := r.phone(t, "udp", "alice")
	for route, status := range map[string]int{
		"<sip:" + r.udp.String() + ";lr>":                             302,
		"<sip:127.0.0.1;lr>, <sip:lan.example;lr>":                    302,
		"<sip:localhost;lr>":                                          302,
		"<sip:192.0.2.1;lr>":                                          403,
		"<sip:127.0.0.1;lr>, <sip:192.0.2.1;lr>":                      403,
		"<sip:127.0.0.1;lr":                                           400,
		"\"Proxy\" <sip:" + r.udp.String() + ";lr;transport=udp>;x=y": 302,
	} {
		if m := p.ask(p.request("INVITE", "sip:bob@lan.example", "Route: "+route)); m.Status != status {
			t.Errorf("%s: want %d\n%s", route, status, m)
		}
	}
}

func TestCallers(t *testing.T) {
	h := &hub{call: bob}
	r := start(t, h, nil)
	p := r.phone(t, "udp", "alice")
	for from, status := range map[string]int{
		"<sip:alice@lan.example>;tag=1":        302,
		"\"A\" <sip:alice@127.0.0.1:99>;tag=1": 302,
		"<sip:ALICE@localhost>;tag=1":          302,
		"sip:alice@host.test;tag=1":            302,
		"<sip:alice@example.com>;tag=1":        403,
		"<sip:mallory@lan.example>;tag=1":      403,
		"<sip:lan.example>;tag=1":              403,
		"<sips:alice@lan.example>;tag=1":       403,
		"<sip:anonymous@anonymous.invalid>":    403,
	} {
		if m := p.ask(p.request("INVITE", "bob", "From: "+from)); m.Status != status {
			t.Errorf("%s: want %d\n%s", from, status, m)
		}
	}
}

var tunnelless = []carry.Opener{func(context.Context) (carry.Tunnel, string, error) { return nil, "", Unreachable("gone") }}

// carriedBob lets every call be carried.
func carriedBob(context.Context, Call) (*Answer, error) {
	return &Answer{Callee: aor("bob"), Path: PathCarried, Open: tunnelless}, nil
}

// A phone that follows gets a token at our address; its INVITE there is
// carried: once, for a minute, for this caller.
func TestToken(t *testing.T) {
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			h := &hub{call: carriedBob}
			r := start(t, h, nil)
			p := r.phone(t, network, "alice")
			m := p.ask(p.request("INVITE", "bob"))
			uri, params, _ := strings.Cut(strings.TrimPrefix(m.field("Contact"), "<"), ">")
			if m.Status != 302 || !strings.HasPrefix(uri, "sip:bob~") || !strings.Contains(uri, "@"+p.to.String()) || params != ";expires=60" {
				t.Fatalf("%s", m)
			}
			if want := map[string]bool{"tcp": true}[network]; strings.Contains(uri, ";transport=tcp") != want {
				t.Errorf("transport in %s", uri)
			}
			mallory := r.phone(t, network, "carol")
			if m := mallory.ask(mallory.request("INVITE", uri)); m.Status != 404 {
				t.Errorf("another caller: %s", m)
			}
			follow := p.request("INVITE", uri, "Call-ID: new", "To: <"+uri+">")
			p.send(follow)
			eventually(t, "the call is carried", func() bool { return len(r.engine.carried()) == 1 })
			c := r.engine.carried()[0]
			if c.Caller != aor("alice") || c.Callee != aor("bob") || c.CallID != r.sharedID([]byte("alice-1@"+p.addr())) || string(c.Invite) != follow || c.From.Remote.String() != p.addr() || c.From.Local != p.to {
				t.Errorf("%+v\n%s", c, c.Invite)
			}
			p.send(follow) // a repetition is the engine's
			eventually(t, "the engine sees the repetition", func() bool { return len(r.engine.offered()) == 1 })
			if m := p.ask(p.request("INVITE", uri, "Call-ID: other")); m.Status != 403 {
				t.Errorf("used token: %s", m)
			}
			p.send(p.request("INVITE", uri, "Call-ID: new", "Authorization: Digest x=y")) // answers a challenge
			eventually(t, "the repeated attempt is carried", func() bool { return len(r.engine.carried()) == 2 })
			if _, n := last(h, calls); n != 1 {
				t.Errorf("the hub was asked %d times", n)
			}
			r.targets.expire(r.now() + 2*targetFor) // the phone's list of calls knows it still
			m = p.ask(p.request("INVITE", uri, "Call-ID: later"))
			again, n := last(h, calls)
			if m.Status != 302 || strings.Contains(m.field("Contact"), uri) || n != 2 || again.Target != "bob" {
				t.Errorf("the call is repeated to %+v:\n%s", again, m)
			}
			if n := r.refused.of(RefusedTarget); n != 2 {
				t.Errorf("%d targets refused", n)
			}
		})
	}
}

// A phone with an outbound proxy brings the redirected INVITE back to us. It
// is carried, not redirected again, whether its target was direct or a token.
func TestRedirectedInviteComesBack(t *testing.T) {
	direct := func(context.Context, Call) (*Answer, error) {
		return &Answer{Callee: aor("bob"), Path: PathDirect, Contact: "sip:bob-0x55@127.0.0.1:5999;ob", Open: tunnelless}, nil
	}
	for name, call := range map[string]func(context.Context, Call) (*Answer, error){"direct": direct, "token": carriedBob} {
		t.Run(name, func(t *testing.T) {
			h := &hub{call: call}
			r := start(t, h, nil)
			p := r.phone(t, "udp", "alice")
			route := "Route: <sip:" + r.udp.String() + ";lr>"
			for round := range 2 { // and again, with the next call
				m := p.ask(p.request("INVITE", "bob", route))
				if m.Status != 302 {
					t.Fatalf("%s", m)
				}
				uri, _, _ := strings.Cut(strings.TrimPrefix(m.field("Contact"), "<"), ">")
				p.send(p.request("INVITE", uri, route, "Call-ID: follow"+p.addr()))
				eventually(t, "the call is carried", func() bool { return len(r.engine.carried()) == round+1 })
			}
			if _, n := last(h, calls); n != 2 {
				t.Errorf("the hub was asked %d times", n)
			}
			p.silence()
		})
	}
}

// A direct target whose other side does not carry, or that was not handed out
// to this caller, leads nowhere.
func TestDirectTargetOfOthers(t *testing.T) {
	h := &hub{call: func(context.Context, Call) (*Answer, error) {
		return &Answer{Callee: aor("bob"), Path: PathDirect, Contact: "sip:bob@127.0.0.1:5999", Open: tunnelless}, nil
	}}
	r := start(t, h, nil)
	p, q := r.phone(t, "udp", "alice"), r.phone(t, "udp", "carol")
	p.ask(p.request("INVITE", "bob"))
	if m := q.ask(q.request("INVITE", "sip:bob@127.0.0.1:5999")); m.Status != 404 {
		t.Errorf("%s", m)
	}
	if n := len(r.engine.carried()); n != 0 {
		t.Errorf("%d calls are carried", n)
	}
}

// What another adapter names as the contact is not believed to be one.
func TestHostileContacts(t *testing.T) {
	h := &hub{}
	r := start(t, h, nil)
	p := r.phone(t, "udp", "alice")
	for _, contact := range []string{
		"", "bob", "sip:", "tel:1", "sips:bob@192.0.2.1", "sip:b@192.0.2.1>,<sip:evil@x", "sip:b@192.0.2.1\r\nX: y", "sip:b@192.0.2.1 ",
		"sip:b@192.0.2.1?Replaces=x", "sip:bob@" + r.udp.String(), "sip:bob@lan.example", "sip:b@192.0.2.1;" + strings.Repeat("x", 600),
	} {
		h.answer(func(context.Context, Call) (*Answer, error) {
			return &Answer{Callee: aor("bob"), Path: PathDirect, Contact: contact, Open: tunnelless}, nil
		})
		if m := p.ask(p.request("INVITE", "bob")); m.Status != 480 || m.field("Contact") != "" || m.field("X") != "" {
			t.Errorf("%q: %s", contact, m)
		}
	}
	if r.refused.of(RefusedContact) != 12 {
		t.Errorf("%d counted", r.refused.of(RefusedContact))
	}
}

// A phone that does not follow, or none may, is carried at once.
func TestCarriedAtOnce(t *testing.T) {
	for name, c := range map[string]struct {
		redirect, agent string
		carried         bool
	}{
		"auto, unknown": {RedirectAuto, "Acme/1", true},
		"auto, known":   {RedirectAuto, "Linphonec/5.1", false},
		"auto, nothing": {RedirectAuto, "", true},
		"never":         {RedirectNever, "Linphonec/5.1", true},
		"always":        {RedirectAlways, "Acme/1", false},
	} {
		t.Run(name, func(t *testing.T) {
			h := &hub{call: carriedBob}
			r := start(t, h, func(cfg *Config) { cfg.Redirect = c.redirect })
			p := r.phone(t, "udp", "alice")
			invite := p.request("INVITE", "bob", "User-Agent: "+c.agent)
			p.send(invite)
			if !c.carried {
				if m := p.recv(); m.Status != 302 {
					t.Fatalf("%s", m)
				}
				return
			}
			eventually(t, "the call is carried", func() bool { return len(r.engine.carried()) == 1 })
			got := r.engine.carried()[0]
			if string(got.Invite) != invite || got.CallID != r.sharedID([]byte("alice-1@"+p.addr())) || got.Callee != aor("bob") {
				t.Errorf("%+v", got)
			}
			if asked, _ := last(h, calls); strings.Join(asked.Paths, " ") != PathCarried {
				t.Errorf("paths %v", asked.Paths)
			}
			p.send(strings.NewReplacer("INVITE sip", "CANCEL sip", "1 INVITE", "1 CANCEL").Replace(invite))
			eventually(t, "the engine sees the CANCEL", func() bool { return len(r.engine.offered()) == 1 })
		})
	}
}

// What the engine cannot take is refused in the front's own way.
func TestEngineRefuses(t *testing.T) {
	r := start(t, &hub{call: carriedBob}, func(c *Config) { c.Redirect = RedirectNever })
	r.engine.set(Overloaded("too many calls at once", 5*time.Second), nil)
	p := r.phone(t, "udp", "alice")
	invite := p.request("INVITE", "bob")
	m := p.ask(invite)
	if m.Status != 503 || m.field("Retry-After") != "5" {
		t.Fatalf("%s", m)
	}
	if again := p.ask(invite); again.String() != m.String() {
		t.Errorf("%s", again)
	}
	if m := p.ask(p.request("INVITE", "echo")); m.Status != 503 {
		t.Errorf("echo: %s", m)
	}
}

func TestEcho(t *testing.T) {
	h := &hub{call: bob}
	r := start(t, h, nil)
	p := r.phone(t, "udp", "alice")
	p.send(p.request("INVITE", "echo"))
	eventually(t, "the echo test rings", func() bool {
		r.engine.mu.Lock()
		defer r.engine.mu.Unlock()
		return len(r.engine.echoes) == 1
	})
	if _, n := last(h, calls); n != 0 {
		t.Error("the hub was asked")
	}
}

// Requests within calls are the engine's; if it does not know the call, they
// are answered 481.
func TestInDialogRequests(t *testing.T) {
	r := start(t, &hub{}, nil)
	p := r.phone(t, "udp", "alice")
	var got []string
	r.engine.set(nil, func(_ carry.Flow, msg []byte) bool {
		m, _, _ := strings.Cut(string(msg), " ")
		got = append(got, m)
		return true
	})
	methods := []string{"INVITE", "BYE", "ACK", "INFO", "UPDATE", "PRACK", "REFER", "NOTIFY", "MESSAGE", "OPTIONS", "SUBSCRIBE"}
	for i, method := range methods {
		p.send(p.request(method, "bob", "To: <sip:bob@127.0.0.1>;tag=x"))
		eventually(t, method, func() bool { return len(r.engine.offered()) == i+1 })
	}
	p.send("SIP/2.0 180 Ringing\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKcy1\r\n\r\n")
	eventually(t, "the response", func() bool { return len(r.engine.offered()) == len(methods)+1 })
	if want := strings.Join(methods, " ") + " SIP/2.0"; strings.Join(got, " ") != want {
		t.Errorf("%v", got)
	}
	p.silence()
}
