package directory_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
)

func TestPublish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 40)
		w.ring.rtt = 2 * time.Millisecond
		bob := w.person("bob", "", 1)
		d := w.directory()
		start := time.Now()
		receipts, err := d.PublishAll(t.Context(), append(bob.shares(1), bob.account(), bob.registration(4000)))
		must(t, err)
		if took := time.Since(start); took != 2*time.Millisecond {
			t.Errorf("took %v for one round trip", took)
		}
		for i, r := range receipts {
			want := 4
			if i < 10 {
				want = 1
			}
			if r.Positions != want || r.Stored != want || r.Quorum != want/2+1 || len(r.Places) != want || len(r.Places[0].Holders) != 1 {
				t.Errorf("receipt %d: %+v", i, r)
			}
		}
		res, err := d.Resolve(t.Context(), bob.aor, directory.Options{})
		must(t, err)
		if res.Key != bob.key.Public() {
			t.Error("wrong key")
		}
		// What this node publishes, it does not answer from an older cache.
		_, err = d.Publish(t.Context(), bob.registration(5000))
		must(t, err)
		res, err = d.Resolve(t.Context(), bob.aor, directory.Options{})
		must(t, err)
		if res.Devices[0].Addrs[0].Port() != 5000 {
			t.Error("own registration from the cache")
		}
	})
}

func TestPublishToBrokenHolders(t *testing.T) {
	at := func(w *world, p *person, do func(i, try int) error) {
		res := record.Resource(p.aor, record.KindRegistration)
		tries := make(map[int]int)
		w.ring.storing = func(pos identity.NodeID, _ record.Record) error {
			i := slices.IndexFunc([]int{0, 1, 2, 3}, func(i int) bool { return record.Position(res, i, 4) == pos })
			w.ring.mu.Lock()
			tries[i]++
			try := tries[i]
			w.ring.mu.Unlock()
			return do(i, try)
		}
	}
	for _, c := range []struct {
		what   string
		do     func(i, try int) error
		want   error
		stored int
		limit  time.Duration
	}{
		{"one is down", func(i, _ int) error { return failIf(i < 1) }, nil, 3, time.Second},
		{"two are down", func(i, _ int) error { return failIf(i < 2) }, directory.ErrQuorum, 2, 3 * time.Second},
		{"all fail once", func(_, try int) error { return failIf(try < 2) }, nil, 4, 200 * time.Millisecond},
		{"two know a newer one", func(i, _ int) error {
			if i < 2 {
				return fmt.Errorf("holder: %w", record.ErrStale)
			}
			return nil
		}, directory.ErrStale, 2, 0},
		{"one hangs", func(i, _ int) error {
			if i == 3 {
				later(2 * time.Second)
			}
			return nil
		}, nil, 3, 200 * time.Millisecond},
	} {
		t.Run(c.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 40)
				bob := w.person("bob", "", 1)
				at(w, bob, c.do)
				start := time.Now()
				r, err := w.directory().Publish(t.Context(), bob.registration(4000))
				if c.want == nil {
					must(t, err)
				} else {
					wantErr(t, err, c.want)
					wantErr(t, err, directory.ErrQuorum)
				}
				if r.Stored != c.stored || r.Positions != 4 || r.Quorum != 3 {
					t.Errorf("%+v", r)
				}
				if took := time.Since(start); took > c.limit {
					t.Errorf("took %v", took)
				}
				for _, p := range r.Places {
					if (p.Error == "") != (len(p.Holders) == 1) {
						t.Errorf("%+v", p)
					}
				}
			})
		})
	}
}

func TestPublishRefusesWhatBelongsNowhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 40)
		d := w.directory()
		_, err := d.Publish(t.Context(), record.Record{})
		wantErr(t, err, record.ErrMalformed)
		_, err = d.Latest(t.Context(), name(t, "bob"), record.KindShare, 11)
		wantErr(t, err, record.ErrMalformed)
	})
}

func TestRepairPutsBackWhatIsMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 40)
		bob := w.person("bob", "", 1)
		shares := bob.shares(1)
		old := bob.registration(4000)
		reg := bob.registration(5000)
		d := w.directory()
		bob.put(shares...)
		bob.put(reg)
		mine := append(slices.Clone(shares), reg)
		if got := d.Repair(t.Context(), mine); got != (directory.Repairs{Checked: 14}) {
			t.Errorf("all there: %+v", got)
		}
		for x := range 3 {
			w.ring.forget(bob.aor, record.KindShare, x, 10)
		}
		w.ring.forget(bob.aor, record.KindRegistration, 2, 4)
		b, err := old.Body()
		must(t, err)
		w.ring.putAt(record.Position(record.Resource(bob.aor, record.KindRegistration), 2, 4), b, old)
		if got := d.Repair(t.Context(), mine); got != (directory.Repairs{Checked: 14, Missing: 4, Stored: 4}) {
			t.Errorf("three shares lost, one registration old: %+v", got)
		}
		if got := d.Repair(t.Context(), mine); got != (directory.Repairs{Checked: 14}) {
			t.Errorf("repaired: %+v", got)
		}
		// Nothing newer is ever overwritten.
		if got := d.Repair(t.Context(), []record.Record{old}); got != (directory.Repairs{Checked: 4}) {
			t.Errorf("an old record: %+v", got)
		}
		w.ring.lie(unreachable)
		if got := d.Repair(t.Context(), mine); got != (directory.Repairs{Silent: 14}) {
			t.Errorf("nobody there: %+v", got)
		}
	})
}

func TestLatest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 40)
		bob := w.person("bob", "", 1)
		d := w.directory()
		latest := func(part uint64) (uint64, error) {
			return d.Latest(t.Context(), bob.aor, record.KindRegistration, part)
		}
		seq, err := latest(1)
		must(t, err)
		if seq != 0 {
			t.Errorf("%d before the first write", seq)
		}
		first, second := bob.registration(4000), bob.registration(5000)
		bob.put(first, bob.part(2, 4002))
		b, err := second.Body()
		must(t, err)
		res := record.Resource(bob.aor, record.KindRegistration)
		for i := range 3 { // one holder missed it
			w.ring.putAt(record.Position(res, i, 4), b, second)
		}
		seq, err = latest(1)
		must(t, err)
		if seq != b.Seq {
			t.Errorf("%d, want %d", seq, b.Seq)
		}
		// A forged sequence does not push the owner's towards the end of numbers.
		forged := b
		forged.Seq = 1 << 62
		rec, err := record.Sign(forged, newKey(t), second.Chain)
		must(t, err)
		w.ring.lie(func(a ask) (directory.Answer, error, bool) {
			a.honest.Records = append([]record.Record{rec}, a.honest.Records...)
			return a.honest, nil, true
		})
		seq, err = latest(1)
		must(t, err)
		if seq != b.Seq || w.refused.of(directory.ReasonBadRecord) == 0 {
			t.Errorf("%d, want %d", seq, b.Seq)
		}
		w.ring.lie(unreachable)
		_, err = latest(1)
		wantErr(t, err, directory.ErrRingDown)
		w.ring.lie(silent)
		_, err = latest(1)
		wantErr(t, err, directory.ErrTimeout)
	})
}

func failIf(fails bool) error {
	if fails {
		return errUnreachable
	}
	return nil
}
