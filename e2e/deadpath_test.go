//go:build e2e && linux

package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/admin"
)

// TestDeadPath pulls a host's plug in the middle of protected calls. Neither phone notices by itself; each is hung up by
// its own adapter within 15 s, with the reason, which the file of calls keeps too. Then a firewall before the other host
// begins to drop UDP, and doctor says so.
func TestDeadPath(t *testing.T) {
	t.Parallel()
	o := newOfficeOf(t, "require-protected",
		spec{user: "alice", kind: "baresip", hz: callerHz, loopback: true},
		spec{user: "bob", kind: "linphonec", hz: calledHz, loopback: true},
	)
	alice, bob := o.people["alice"], o.people["bob"]
	ready(t, alice.phone, bob.phone)
	must(t, alice.phone.Dial(within(t, answering), alice.uri("bob")))
	must(t, alice.phone.WaitEstablished(within(t, answering)))
	must(t, alice.phone.WaitHeard(within(t, answering), talking))
	must(t, bob.phone.WaitHeard(within(t, answering), talking))
	cut := time.Now()
	bob.host.Cut()
	for _, p := range []*person{alice, bob} {
		must(t, p.phone.WaitClosed(within(t, 2*answering)))
		if took := time.Since(cut); took > 15*time.Second {
			t.Errorf("%s is hung up after %v", p.phone.Name(), took)
		}
		reason := ""
		for _, m := range p.phone.Trace() {
			if m.Method == "BYE" && m.Status == 0 && !m.Sent {
				reason = m.Header("Reason")
			}
		}
		if !strings.Contains(reason, "fallen silent") && !strings.Contains(reason, "lost") {
			t.Errorf("%s is hung up with the reason %q", p.phone.Name(), reason)
		}
		p.wait("no call goes on", func(s admin.Status) bool { return len(s.Live) == 0 })
		var text []byte
		var err error
		p.wait("its end is written down", func(admin.Status) bool {
			text, err = os.ReadFile(filepath.Join(p.state, "calls.jsonl"))
			return err == nil && bytes.HasSuffix(text, []byte("\n"))
		})
		if err != nil || !strings.Contains(string(text), `"path":"protected"`) || !strings.Contains(string(text), "fallen silent") && !strings.Contains(string(text), "lost") {
			t.Errorf("%s's file of calls: %v %s", p.user, err, text)
		}
	}
	proveDiagnosed(t, alice)
}

// proveDiagnosed puts a firewall before somebody's host that drops UDP, and asks doctor: at once it says that nobody
// answers, and on which port; when the other nodes are given up, that none is reached.
func proveDiagnosed(t *testing.T, p *person) {
	t.Helper()
	ask := func() admin.DoctorReport {
		t.Helper()
		var report admin.DoctorReport
		must(t, admin.Dial(p.state).Call(within(t, starting), admin.MethodDoctor, nil, &report))
		return report
	}
	if c := check(ask(), "nat"); c.Result != admin.CheckOK {
		t.Errorf("before the firewall doctor says %+v", c)
	}
	p.host.DropUDP()
	report := ask()
	for name, says := range map[string]string{"nat": "nobody answers by STUN any more", "bootstrap": "no bootstrap server answers"} {
		if c := check(report, name); c.Result != admin.CheckWarn || !strings.Contains(c.Detail, says) || c.Mend == "" || name == "nat" && !strings.Contains(c.Mend, "drops UDP from and to port 5871") {
			t.Errorf("behind the firewall doctor says %+v", c)
		}
	}
	began := time.Now()
	for ctx := within(t, starting); ; {
		c := check(ask(), "ring")
		if c.Result == admin.CheckFail {
			t.Logf("%v after the firewall doctor says of the ring: %s; %s", time.Since(began).Round(time.Second), c.Detail, c.Mend)
			if !strings.Contains(c.Detail, "reaches none of the others") || !strings.Contains(c.Mend, "firewall") {
				t.Errorf("behind the firewall doctor says %+v", c)
			}
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("behind the firewall doctor says %+v", c)
		}
	}
}
