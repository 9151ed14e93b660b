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
// its own adapter within 15 s, with the reason, which the file of calls keeps too.
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
}
