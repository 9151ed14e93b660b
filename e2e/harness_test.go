//go:build e2e && linux

package e2e

import (
	"testing"

	"github.com/secp2psip/secp2psip/e2e/internal/lab"
	"github.com/secp2psip/secp2psip/e2e/internal/phone"
)

// TestPhonesCallEachOtherThroughKamailio proves the harness with a SIP server of others in the place of ours: where it
// fails, the other tests say nothing about the program.
func TestPhonesCallEachOtherThroughKamailio(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	server := startKamailio(t, l.Host("server")).String()
	a, b := l.Host("alice"), l.Host("bob")
	callers := []phone.Phone{
		newPhone(t, "baresip", phone.Config{Host: a, User: "ab", Domain: server, Port: 5062, Tone: tone440(t, l), Peers: []string{"sip:bb@" + server}}),
		newPhone(t, "linphonec", phone.Config{Host: a, User: "al", Domain: server, Port: 5064, Tone: tone440(t, l)}),
	}
	called := []phone.Phone{
		newPhone(t, "baresip", phone.Config{Host: b, User: "bb", Domain: server, Port: 5062, Tone: tone1000(t, l)}),
		newPhone(t, "linphonec", phone.Config{Host: b, User: "bl", Domain: server, Port: 5064, Tone: tone1000(t, l)}),
	}
	start(t, append(callers, called...)...)
	users := []string{"bb", "bl"}
	for i, from := range callers {
		for j, to := range called {
			proveCall(t, call{from: from, to: to, uri: "sip:" + users[j] + "@" + server, calledHangsUp: i == j})
		}
	}
	proveCall(t, call{from: callers[0], to: called[0], uri: "sip:bb@" + server + ":5070", followed: yes})
	proveRefusal(t, callers[0], "sip:nobody@"+server, 404)
	proveRefusal(t, callers[1], "sip:nobody@"+server, 404)
	proveText(t, callers[0], called[0], "sip:bb@"+server)
	proveText(t, callers[1], called[0], "sip:bb@"+server)
	proveText(t, callers[1], called[1], "sip:bl@"+server)
	must(t, called[0].Off(within(t, closing)))
	must(t, called[1].Off(within(t, closing)))
	proveRefusal(t, callers[0], "sip:bb@"+server, 404)
	proveRefusal(t, callers[0], "sip:bl@"+server, 404)
}
