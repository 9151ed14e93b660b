//go:build e2e && linux

package e2e

import (
	"testing"

	"github.com/secp2psip/secp2psip/internal/admin"
)

// TestBehindRouters has two people call each other whose hosts each stand behind a router that translates addresses, and
// then goes on when one of the members dies through which they are called.
func TestBehindRouters(t *testing.T) {
	t.Parallel()
	o := newOfficeOf(t, "require-protected")
	for _, s := range []spec{
		{user: "carl", kind: "baresip", loopback: true}, {user: "dora", kind: "baresip", loopback: true}, {user: "emil", kind: "baresip", loopback: true},
	} {
		s.adapter.path = "require-protected"
		must(t, o.hire(s).phone.WaitRegistered(within(t, starting)))
	}
	ann := spec{user: "ann", kind: "baresip", hz: callerHz, loopback: true, nat: true}
	bob := spec{user: "bob", kind: "baresip", hz: calledHz, loopback: true, nat: true}
	for _, s := range []*spec{&ann, &bob} {
		s.adapter = carrying
		s.adapter.path = "require-protected"
		p := o.hire(*s)
		must(t, p.phone.WaitRegistered(within(t, starting)))
		p.wait("it is a client of three members", func(s admin.Status) bool {
			return s.Phase == "client" && s.Reach != nil && s.Reach.Client && len(s.Reach.Attached) == 3
		})
	}
	protectedCall(t, o, ann, bob, true)
	s, err := o.people["bob"].status(within(t, starting))
	must(t, err)
	for _, p := range o.order[:3] {
		st, err := p.status(within(t, starting))
		must(t, err)
		if st.NodeID == s.Reach.Attached[0].ID || st.NodeID == s.Reach.Attached[1].ID {
			p.kill()
			break
		}
	}
	protectedCall(t, o, ann, bob, false)
}
