//go:build e2e && linux

package e2e

import (
	"strings"
	"testing"

	"github.com/secp2psip/secp2psip/e2e/internal/lab"
	"github.com/secp2psip/secp2psip/internal/admin"
)

// TestRouterMapsAPort has two people behind routers that give every peer another port, the worst there are, ask them for a
// port, one by NAT-PMP and one by UPnP, miniupnpd answering. Both become members at the addresses that the routers name, and
// call each other directly. A router that stops answering takes nothing but the mapping, and what a router has mapped is
// gone when the adapter ends.
func TestRouterMapsAPort(t *testing.T) {
	t.Parallel()
	o := newOfficeOn(t, lab.Plan{Net: [3]byte{44, 30, 1}}, "require-protected") // miniupnpd serves nobody who has a private address outside
	mapping := carrying
	mapping.path, mapping.mapping = "require-protected", true
	carl := o.hire(spec{user: "carl", kind: "baresip", loopback: true, adapter: adapterOptions{path: "require-protected"}})
	must(t, carl.phone.WaitRegistered(within(t, starting)))
	ann := spec{user: "ann", kind: "baresip", hz: callerHz, loopback: true, nat: lab.Symmetric, asking: lab.NATPMP, adapter: mapping}
	bob := spec{user: "bob", kind: "baresip", hz: calledHz, loopback: true, nat: lab.Symmetric, asking: lab.UPnP, adapter: mapping}
	for _, s := range []spec{ann, bob} {
		p := o.hire(s)
		must(t, p.phone.WaitRegistered(within(t, starting)))
		outside := p.host.Router.Addr.String() + ":5871"
		st := p.wait("it is a member at the address that its router maps", func(s admin.Status) bool {
			return s.Phase == "joined" && s.Reach != nil && s.Reach.PortMapping != nil && s.Reach.PortMapping.Proven && strings.Contains(strings.Join(s.Advertised, " "), outside)
		})
		want := "nat-pmp"
		if s.asking == lab.UPnP {
			want = "upnp"
		}
		if m := st.Reach.PortMapping; m.Protocol != want || m.External != outside || m.Private {
			t.Errorf("%s: %+v", s.user, m)
		}
		var report admin.DoctorReport
		must(t, admin.Dial(p.state).Call(within(t, starting), admin.MethodDoctor, nil, &report))
		if c := check(report, "port mapping"); c.Result != admin.CheckOK || !strings.Contains(c.Detail, outside) {
			t.Errorf("doctor says of the router: %+v", c)
		}
	}
	protectedCall(t, o, ann, bob, false)
	if s, err := o.people["ann"].status(within(t, starting)); err != nil || !o.direct(s, "bob") {
		t.Errorf("ann has no direct link to bob: %+v, %v", s.Links, err)
	}
	must(t, o.routers["ann"].Stop(closing))
	protectedCall(t, o, ann, bob, true)

	router := o.people["bob"].host.Router
	if rules, err := router.Mapped(within(t, starting)); err != nil || !strings.Contains(rules, "5871") {
		t.Errorf("bob's router maps nothing: %s, %v", rules, err)
	}
	o.people["bob"].stop()
	if rules, err := router.Mapped(within(t, starting)); err != nil || strings.Contains(rules, "5871") {
		t.Errorf("bob's adapter has ended and its router still maps: %s, %v", rules, err)
	}
}
