package adapter_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/secp2psip/secp2psip/adapter"
	"github.com/secp2psip/secp2psip/internal/testnet"
)

// heapNow is what lives on the heap, in bytes.
func heapNow() int64 {
	runtime.GC()
	runtime.GC() // what pools still held
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestMatrixH4Invites: a member that calls without end, in its own name and in
// names that it makes up, fills nothing, and another's call goes through.
func TestMatrixH4Invites(t *testing.T) {
	l := testnet.New(t, nil)
	b := l.Add("bob", func(c *adapter.Config) { c.Limits.RequestRate, c.Limits.RequestBurst = 10_000, 100_000 })
	b.Phone(toneB)
	mallory, trudy := newRogue(t, l, "mallory"), newRogue(t, l, "trudy")
	conn := mallory.to(b)
	before, through := heapNow(), 0
	const calls = 1500
	for i := range calls {
		body := mallory.body(conn, "bob")
		if i%2 == 0 {
			body.Caller = fmt.Sprintf("sip:m%d@%s", i, testnet.Overlay)
		}
		if status, _ := mallory.ask(conn, mallory.sign(body)); status == 302 {
			through++
		}
	}
	grown := heapNow() - before
	theirs := trudy.to(b)
	status, _ := trudy.ask(theirs, trudy.sign(trudy.body(theirs, "bob")))
	t.Logf("matrix: H4 memory under a flood of INVITEs: %d sent, %d through, %d refused for their rate, heap %+d KiB", calls, through, refusals(b, "invite_rate"), grown>>10)
	if grown > 16<<20 || refusals(b, "invite_rate") == 0 || through > calls/4 {
		t.Errorf("heap %+d KiB, %d of %d through: %v", grown>>10, through, calls, b.It.Status().Refusals)
	}
	if status != 302 {
		t.Errorf("another's call beside the flood is answered %d", status)
	}
}
