//go:build e2e && linux

package e2e

import (
	"strings"
	"testing"
)

// TestDevices: bob has two devices, each with a phone at an adapter of its own. Both ring. The one that answers has the
// call, and the other is told that it is elsewhere, so that it shows no missed call.
func TestDevices(t *testing.T) {
	t.Parallel()
	o := newOfficeOf(t, "",
		spec{user: "alice", kind: "baresip", hz: callerHz},
		spec{user: "carol", kind: "linphonec", hz: callerHz},
		spec{user: "bob", kind: "baresip", hz: calledHz, devices: 2},
		spec{user: "bob", device: "-desk", kind: "baresip", manual: true, hz: calledHz},
	)
	pocket, desk := o.people["bob"], o.people["bob-desk"]
	for _, from := range []*person{o.people["alice"], o.people["carol"]} {
		rang := false
		for try := 0; try < 3 && !rang; try++ { // a phone that answers at once may be faster than the other rings
			ready(t, desk.phone)
			proveCall(t, call{from: from.phone, to: pocket.phone, uri: from.uri("bob")})
			cancelled := ""
			for _, m := range desk.phone.Trace() {
				rang = rang || m.Method == "INVITE" && m.Status == 0 && !m.Sent
				if m.Method == "CANCEL" && !m.Sent {
					cancelled += m.Header("Reason")
				}
			}
			if rang && !strings.Contains(cancelled, "Call completed elsewhere") {
				t.Errorf("%s calls: the other phone is cancelled because of %q", from.phone.Name(), cancelled)
			}
		}
		if !rang {
			t.Errorf("%s calls: bob's other phone never rings", from.phone.Name())
		}
	}
	t.Run("a caller who gives up stops all", func(t *testing.T) {
		ready(t, desk.phone)
		must(t, pocket.phone.Off(within(t, closing)))
		ringErin(t, o.people["alice"], desk, o.people["alice"].phone)
	})
}
