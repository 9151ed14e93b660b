package chord

import (
	"fmt"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// TestStoringWaits: who has more to store of one name than a holder takes at once
// is told when to come again, and does: all of it gets there, and to nobody else.
func TestStoringWaits(t *testing.T) {
	bubble(t, 140, func(t *testing.T, w *virtual) {
		w.ring(12)
		w.await(5*time.Second, w.ideal)
		from := w.live()[0]
		began := time.Now()
		const changes = 40
		for seq := range uint64(changes) {
			s := share(t, "alice", 1, seq+1)
			holders, err := from.Store(t.Context(), s.pos, s.rec)
			if err != nil {
				t.Fatal(err)
			}
			for _, h := range holders {
				if h.Err != nil || h.Outcome != record.OutcomeStored {
					t.Errorf("change %d: %+v", seq, h)
				}
			}
		}
		took := time.Since(began)
		if took < (changes-20)*time.Second/2 || took > 3*changes*time.Second/2 {
			t.Errorf("%d changes of one record took %v", changes, took)
		}
	})
}

// TestAllowances: buckets are of one sender and one name, and of one sender; they
// fill again, and what was there already costs nothing.
func TestAllowances(t *testing.T) {
	a := newAllowances(StoreLimits{Rate: 2, Burst: 3, AllRate: 10, AllBurst: 5}, 0)
	from := a.of(wire.Peer{ID: ID{1}, Owner: identity.OwnerTag{1}})
	if other := a.of(wire.Peer{ID: ID{2}, Owner: identity.OwnerTag{1}}); other != from {
		t.Error("two nodes of one person have two buckets")
	}
	now := time.Unix(1000, 0)
	want := func(what string, key ID, name string, ok bool) time.Duration {
		t.Helper()
		wait := a.take(now, key, name)
		if (wait == 0) != ok {
			t.Errorf("%s: wait %v", what, wait)
		}
		return wait
	}
	for range 3 {
		want("the first three", from, "a", true)
	}
	if wait := want("a fourth", from, "a", false); wait > 500*time.Millisecond {
		t.Errorf("it is to wait for %v", wait)
	}
	a.giveBack(from, "a")
	want("one was there already", from, "a", true)
	want("another name", from, "b", true)
	want("another name", from, "c", true)
	want("a sixth of all", from, "d", false)
	want("another sender", ID{9}, "a", true)
	now = now.Add(500 * time.Millisecond)
	want("half a second later", from, "a", true)
	want("and no more", from, "a", false)
}

// TestAllowancesAreBounded: names without end are no memory without end, and what
// is counted is not forgotten for them.
func TestAllowancesAreBounded(t *testing.T) {
	a := newAllowances(StoreLimits{AllRate: 1_000_000, AllBurst: 1_000_000}, 0)
	now := time.Unix(1000, 0)
	for range 20 {
		a.take(now, ID{1}, "a")
	}
	refused := 0
	for i := range 100_000 {
		now = now.Add(time.Microsecond)
		if a.take(now, ID{byte(i)}, fmt.Sprint(i)) > 0 {
			refused++
		}
	}
	if len(a.until) > maxAllowances || refused == 0 {
		t.Errorf("%d buckets, %d refused", len(a.until), refused)
	}
	if a.take(now, ID{1}, "a") == 0 {
		t.Error("a flood of names has emptied a bucket")
	}
	now = now.Add(time.Minute)
	if a.take(now, ID{3}, "z") != 0 || len(a.until) > 4 {
		t.Errorf("%d buckets a minute later", len(a.until))
	}
}
