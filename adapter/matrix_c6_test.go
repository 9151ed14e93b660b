package adapter_test

import (
	"context"
	"crypto/rand"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/testnet"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// hides lets a rogue say of what it holds of a name that there is nothing, until
// stop is closed. It counts what it hid.
func (r *rogue) hides(aor string, stop <-chan struct{}, hidden *atomic.Int64) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, rec := range r.node.Store().All() {
			if b, err := rec.Body(); err == nil && b.AOR == aor {
				name, err := identity.ParseAOR(b.AOR)
				if err != nil {
					continue
				}
				r.node.Store().Drop(record.Resource(name, b.Kind), b.Kind, b.Part)
				hidden.Add(1)
			}
		}
		select {
		case <-stop:
			return
		case <-tick.C:
		}
	}
}

// denies lets a rogue tell a caller's adapter, unasked, that the callee is busy
// or does not exist, until stop is closed.
func (r *rogue) denies(caller, callee *testnet.Member, stop <-chan struct{}, told *atomic.Int64) {
	conn := r.to(caller)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		b := wire.RedirectBody{
			Caller: "sip:" + caller.Name + "@" + testnet.Overlay, Callee: "sip:" + callee.Name + "@" + testnet.Overlay,
			CallerNode: caller.It.Node().ID(), CalleeNode: callee.It.Node().ID(), CallID: "whichever", Time: time.Now().UnixMilli(),
			Device: r.device.Public(), Status: 486, Reason: "Busy Here",
		}
		if i%2 == 1 {
			b.Status, b.Reason = 404, "Not Found"
		}
		rand.Read(b.Nonce[:])
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		_, _ = conn.Call(ctx, r.signReply(b)) // the refusal of it is what the caller does right
		cancel()
		told.Add(1)
	}
}

// C6: neighbours on the ring that hold the callee's records say that there are
// none, and tell the caller that the callee is busy or unknown. Only an answer that
// the callee has signed ends a call.
func TestMatrixC6NeighboursCannotEndACall(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, nil)
	a, b := l.Add("alice", uncached), l.Add("bob", nil) // every call asks the ring
	for _, name := range []string{"carol", "dave", "erin"} {
		l.Add(name, nil).PhoneOf(name, toneB)
	}
	alice, bob := a.Phone(toneA), b.Phone(toneB)
	rogues := []*rogue{newRogue(t, l, "mallory"), newRogue(t, l, "trudy"), newRogue(t, l, "victor")}
	stop := make(chan struct{})
	var hidden, told atomic.Int64
	var work sync.WaitGroup
	for _, r := range rogues {
		work.Go(func() { r.hides("sip:bob@"+testnet.Overlay, stop, &hidden) })
		work.Go(func() { r.denies(a, b, stop, &told) })
	}
	defer work.Wait()
	defer close(stop)
	testnet.Eventually(t, "the rogues attack", func() bool { return told.Load() > 4 })
	const calls = 4
	through := 0
	for range calls {
		out := dial(t, alice, "bob")
		if out.Status == 200 && answered(t, bob).Tone(toneA) {
			through++
		} else {
			t.Errorf("%d %s", out.Status, out.Reason)
		}
	}
	if hidden.Load() == 0 || told.Load() < 4 {
		t.Errorf("%d records hidden, %d forged answers", hidden.Load(), told.Load())
	}
	t.Logf("matrix: C6 calls that went through: %d of %d; %d forged 486 and 404, %d records hidden", through, calls, told.Load(), hidden.Load())
}
