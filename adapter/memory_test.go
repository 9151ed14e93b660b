package adapter_test

import (
	"runtime"
	"testing"

	"github.com/secp2psip/secp2psip/adapter"
	"github.com/secp2psip/secp2psip/internal/testnet"
	"github.com/secp2psip/secp2psip/sipbridge"
)

// mostPerCall is what one adapter may take for a call that goes on, in bytes.
const mostPerCall = 64 << 10

// TestMemoryOfACall: everything that an adapter holds for a protected call in
// which both speak: signalling, both legs, tunnel and stream, media, the record.
func TestMemoryOfACall(t *testing.T) { memoryOfCalls(t, 50) }

// memoryOfCalls makes calls between two phones that keep nothing of them but
// their tags, through two adapters in this process, and measures by how much heap
// and stacks grow. Each call has two ends, one at each adapter.
func memoryOfCalls(t *testing.T, calls int) {
	t.Helper()
	l := testnet.New(t, charterPaths("protected"))
	roomy := func(c *adapter.Config) {
		device("require-protected")(c)
		c.Limits.Streams = 2 * calls
		c.SIP.Redirect, c.SIP.Carry.MaxCalls, c.MediaPorts = sipbridge.RedirectNever, 2*calls, [2]uint16{36000, 38999}
	}
	a, b := l.Add("alice", roomy), l.Add("bob", roomy)
	alice, bob := newScriptPhone(t, a), newScriptPhone(t, b)
	begin := func(n int) {
		for range n {
			alice.dial("bob", "", alice.audio(""))
			invite := bob.hear()
			bob.answer(invite, "200 OK", "", bob.audio(""))
			ok := alice.expect("SIP/2.0 200")
			alice.met(ok)
			alice.request("ACK", "", "")
			bob.expect("ACK ")
			for k := range 3 { // all that there is room for is made
				alice.say(portsIn(ok)["audio"], rtp(0, k))
				bob.say(portsIn(invite)["audio"], rtp(0, k))
			}
		}
	}
	speaking := func() (n int) {
		for _, m := range []*testnet.Member{a, b} {
			for _, c := range m.It.Status().Live {
				if c.State == "answered" && c.Media.Received.Packets > 0 && c.Media.Sent.Packets > 0 {
					n++
				}
			}
		}
		return n
	}
	begin(1) // the link is made, and what there is once
	testnet.Eventually(t, "the first call speaks", func() bool { return speaking() == 2 })
	before, threads := settledUse(), runtime.NumGoroutine()
	begin(calls)
	testnet.Eventually(t, "all speak", func() bool { return speaking() == 2*(calls+1) })
	each := (settledUse() - before) / int64(2*calls)
	t.Logf("%d calls: %d bytes of heap and stacks for one end of a call, in %d goroutines", calls, each, (runtime.NumGoroutine()-threads)/(2*calls))
	most := int64(mostPerCall)
	if raceEnabled {
		most *= 2
	}
	if each > most {
		t.Errorf("one end of a call takes %d KiB, at most %d", each>>10, most>>10)
	}
}

// settledUse is how many bytes of heap and stacks are in use, once what is not
// needed has gone.
func settledUse() int64 {
	for range 4 { // each halves the stacks that are larger than they need be
		runtime.GC()
	}
	return inUse()
}
