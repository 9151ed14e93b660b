package sipbridge

import (
	"strings"
	"testing"
)

// The main road: a phone registers, calls a name, and is sent to the other
// phone.
func TestRegisterAndRedirect(t *testing.T) {
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			h := &hub{call: bob}
			r := start(t, h, nil)
			p := r.phone(t, network, "alice")

			ok := p.ask(p.request("REGISTER", "sip:"+p.to.String(), "To: <sip:alice@"+p.to.String()+">", "Expires: 300"))
			if ok.Status != 200 || !strings.HasPrefix(ok.field("Contact"), "<sip:alice-x@"+p.addr()+">;expires=300") || ok.field("Date") == "" {
				t.Fatalf("REGISTER:\n%s", ok)
			}
			reg, n := last(h, registrations)
			if n != 1 || reg.AOR != aor("alice") || len(reg.Bindings) != 1 || reg.Bindings[0].Transport != network {
				t.Fatalf("%d registrations, the last is %+v", n, reg)
			}

			moved := p.ask(p.request("INVITE", "bob"))
			if moved.Status != 302 || moved.field("Contact") != "<sip:bob-0x55@127.0.0.1:5999>;expires=60" {
				t.Fatalf("INVITE:\n%s", moved)
			}
			if to := moved.field("To"); !strings.Contains(to, ";tag=") {
				t.Errorf("To has no tag: %s", to)
			}
			c, _ := last(h, calls)
			if c.Caller != aor("alice") || c.Target != "bob" || len(c.CallID) != 32 || strings.Contains(c.CallID, "127.0.0.1") || strings.Join(c.Paths, " ") != "direct carried" {
				t.Errorf("call %+v", c)
			}
			p.send(p.request("ACK", "bob", "To: "+moved.field("To"), "Via: "+moved.field("Via"), "CSeq: 2 ACK"))
			p.silence()
		})
	}
}
