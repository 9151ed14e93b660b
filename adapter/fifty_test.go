package adapter_test

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/demo"
	"github.com/secp2psip/secp2psip/internal/testnet"
)

// Fifty calls at once through one pair of adapters, 50 packets a second each
// way: every one is made, and what is said comes in the order in which it was
// said. That nothing is lost shows only where nothing else keeps the machine
// busy, in TestLongFiftyCallsLoseNothing.
func TestFiftyCallsAtOnce(t *testing.T) { fiftyCalls(t, 500*time.Millisecond) }

// fiftyCalls has them speak at once for a while, and returns how many packets
// were heard, and how many of those that were sent before the last were not.
func fiftyCalls(t *testing.T, spoken time.Duration) (heard, missing int) {
	t.Helper()
	const calls = 50
	l := testnet.New(t, charterPaths("protected"))
	a, b := l.Add("alice", device("require-protected")), l.Add("bob", device("require-protected"))
	alice, bob := a.Phone(toneA), b.Phone(toneB)
	empty := inUse()
	ctx, cancel := context.WithTimeout(t.Context(), 10*testnet.Deadline) // it only bounds a hang
	defer cancel()
	together := make(chan struct{})
	var work sync.WaitGroup
	outcomes := make(chan *demo.Outcome, calls)
	for range calls {
		work.Go(func() {
			out, err := alice.CallUntil(ctx, "bob", together)
			if err != nil {
				t.Error(err)
				return
			}
			outcomes <- out
		})
	}
	testnet.Eventually(t, "all speak at once", func() bool {
		talking := 0
		for _, c := range b.It.Status().Live {
			if c.State == "answered" && c.Media.Received.Packets > 0 {
				talking++
			}
		}
		return talking == calls
	})
	each := (inUse() - empty) / (2 * calls)
	<-time.After(spoken)
	close(together)
	work.Wait()
	close(outcomes)
	check := func(h demo.Heard, who string) {
		heard, missing = heard+h.Packets, missing+h.Missing
		if h.Packets == 0 || h.Late != 0 {
			t.Errorf("%s hears %d packets, and %d came late", who, h.Packets, h.Late)
		}
	}
	for out := range outcomes {
		if out.Status != 200 {
			t.Errorf("a call is answered %d %s", out.Status, out.Reason)
		}
		check(out.Heard, "alice")
	}
	for range calls {
		select {
		case h := <-bob.Answered():
			check(*h, "bob")
		case <-ctx.Done():
			t.Fatal("bob's phone does not see a call end")
		}
	}
	t.Logf("%d calls at once: %d packets heard, %d missing, all in order; dropped at alice's adapter %v, at bob's %v", calls, heard, missing,
		a.It.Status().Refusals, b.It.Status().Refusals)
	t.Logf("%d KiB for each adapter's end of a call, its phone's included", each>>10)
	return heard, missing
}

// inUse is how many bytes of heap and stacks are in use.
func inUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
