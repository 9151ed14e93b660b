package adapter_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/adapter"
	"github.com/secp2psip/secp2psip/bootstrap"
	"github.com/secp2psip/secp2psip/internal/admin"
	"github.com/secp2psip/secp2psip/internal/testnet"
	"github.com/secp2psip/secp2psip/sipbridge"
)

// often lets people change keys as often as a test does.
func often(c *bootstrap.Config) { c.RotateEvery = time.Nanosecond }

// uncached has an adapter look every name up anew.
func uncached(c *adapter.Config) {
	many(c)
	c.CacheFor = -1
}

// caller calls somebody again and again until it is stopped.
type caller struct {
	every         time.Duration // 0 = one after the other
	calls, failed atomic.Int64
	mu            sync.Mutex
	why           []error
}

func (c *caller) run(t *testing.T, from *testnet.Member, to string, done <-chan struct{}) {
	aor, err := from.It.Account(from.Name)
	if err != nil {
		t.Error(err)
		return
	}
	for i := 0; ; i++ {
		select {
		case <-done:
			return
		default:
		}
		_, err := from.It.Call(limited(), sipbridge.Call{
			Caller: aor, Target: to, CallID: fmt.Sprintf("%s-%s-%d", from.Name, to, i), Paths: []string{sipbridge.PathDirect},
		})
		c.calls.Add(1)
		if c.every > 0 {
			select {
			case <-time.After(c.every):
			case <-done:
			}
		}
		if err != nil {
			c.failed.Add(1)
			c.mu.Lock()
			c.why = append(c.why, fmt.Errorf("%s calls %s: %w", from.Name, to, err))
			c.mu.Unlock()
		}
	}
}

func rotate(t *testing.T, m *testnet.Member, r admin.RotateRequest) admin.RotateResult {
	t.Helper()
	out, err := ask[admin.RotateResult](t, m, admin.MethodRotate, r)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestMatrixA2RotationWithoutAMissedCall: bob changes account and device keys
// while others call him and he calls them, with and without cached look-ups;
// contacts' pins follow, those of one who was away for all of it, too.
func TestMatrixA2RotationWithoutAMissedCall(t *testing.T) {
	t.Parallel()
	l := testnet.New(t, often)
	a, b, c, d := l.Add("alice", many), l.Add("bob", many), l.Add("carol", uncached), l.Add("dave", many)
	for _, m := range []*testnet.Member{a, b, c, d} {
		m.Phone(toneA)
	}
	for _, m := range []*testnet.Member{a, c, d} {
		if status, err := call(t, m, "bob"); status != 302 {
			t.Fatalf("%d (%v)", status, err)
		}
		testnet.Eventually(t, m.Name+" has pinned bob", func() bool { return !m.Lookup("bob").Pinned.IsZero() })
	}
	d.Pin()
	d.Stop(t)

	cs := caller{every: 20 * time.Millisecond} // as fast as they can, on few processors, phones would not answer in time
	done := make(chan struct{})
	var work sync.WaitGroup
	for _, pair := range []struct {
		from *testnet.Member
		to   string
	}{{a, "bob"}, {c, "bob"}, {b, "alice"}, {b, "carol"}} {
		work.Go(func() { cs.run(t, pair.from, pair.to, done) })
	}
	enough := func(more int64) {
		target := cs.calls.Load() + more
		testnet.Eventually(t, "calls go on", func() bool { return cs.calls.Load() >= target })
	}
	enough(8)
	first := b.Lookup("bob").Fingerprint
	for version := uint32(2); version <= 4; version++ {
		got := rotate(t, b, admin.RotateRequest{})
		if got.KeyVersion != version || got.Old == got.New {
			t.Errorf("%+v, want version %d", got, version)
		}
		enough(8)
		if version == 3 {
			device := rotate(t, b, admin.RotateRequest{Device: true})
			if device.Old == device.New || device.KeyVersion != version {
				t.Errorf("%+v", device)
			}
			enough(8)
		}
	}
	close(done)
	work.Wait()
	for _, err := range cs.why {
		t.Error(err)
	}
	t.Logf("matrix: A2 calls missed while keys change: %d of %d", cs.failed.Load(), cs.calls.Load())

	for _, m := range []*testnet.Member{a, c} {
		followed(t, m, first)
	}
	d.Start()
	d.Joined()
	d.Phone(toneB)
	testnet.Eventually(t, "dave, who was away, calls bob", func() bool {
		status, _ := call(t, d, "bob")
		return status == 302
	})
	followed(t, d, first)
}

// followed checks that a contact's pin has gone along, and that its status says
// so without a warning.
func followed(t *testing.T, m *testnet.Member, first string) {
	t.Helper()
	last := ""
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s, at last: %s", m.Name, last)
		}
	})
	testnet.Eventually(t, m.Name+"'s pin follows", func() bool {
		status, err := call(t, m, "bob")
		res := m.Lookup("bob")
		last = fmt.Sprintf("%d (%v), %+v", status, err, res)
		return status == 302 && res.Outcome == admin.OutcomeVerified && res.KeyVersion == 4 && res.Fingerprint != first && !res.Pinned.IsZero()
	})
	status := m.It.Status()
	signed := 0
	for _, k := range status.ChangedKeys {
		if k.Settled != "signed" {
			t.Errorf("%s: %+v", m.Name, k)
		}
		signed++
	}
	if len(status.Warnings) > 0 || signed == 0 || status.Refusals["directory/key_changed"]+status.Refusals["directory/key_conflict"] > 0 {
		t.Errorf("%s: warnings %q, %d changes noted, refusals %v", m.Name, status.Warnings, signed, status.Refusals)
	}
}
