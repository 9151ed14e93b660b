//go:build long

package adapter_test

import (
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/adapter"
	"github.com/secp2psip/secp2psip/internal/testnet"
	"github.com/secp2psip/secp2psip/sipbridge"
)

// Minutes in which nobody says a word, nor signals anything, close nothing: the
// call goes on as if they had not been. They are longer than any time after which
// a connection counts as idle, here or at a translator (RFC 4787 §4.3).
func TestLongSilenceKeepsTheCall(t *testing.T) {
	t.Parallel()
	const silence = 130 * time.Second
	l := testnet.New(t, charterPaths("require-protected"))
	carries := func(c *adapter.Config) {
		device("require-protected")(c)
		c.SIP.Redirect = sipbridge.RedirectNever
	}
	a, b := l.Add("alice", carries), l.Add("bob", carries)
	c := &conversation{t: t, alice: newScriptPhone(t, a), bob: newScriptPhone(t, b)}
	c.begin()
	before := a.It.Status().Live[0].Media.Received.Packets
	<-time.After(silence)
	live := a.It.Status().Live
	if len(live) != 1 || live[0].State != "answered" || live[0].Media.Received.Packets != before {
		t.Fatalf("after the silence: %+v", live)
	}
	c.talk(70)
	c.bob.request("BYE", "", "")
	c.alice.answer(c.alice.expect("BYE "), "200 OK", "", "")
	c.bob.expect("SIP/2.0 200")
}
