package directory_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/record"
)

func TestNumberLeadsToTheName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 40)
		bob := w.enrol("bob", "101")
		bob.put(bob.registration(4000))
		d := w.directory(func(c *directory.Config) { c.Watch = -1 })
		res, err := d.Resolve(t.Context(), name(t, "101"), directory.Options{})
		must(t, err)
		if res.AOR != bob.aor || res.Alias != name(t, "101") || res.Key != bob.key.Public() {
			t.Errorf("%+v", res)
		}
		before := w.ring.count()
		res, err = d.Resolve(t.Context(), name(t, "101"), directory.Options{})
		must(t, err)
		if n := w.ring.count() - before; n != 0 || !res.Cached || res.Alias.IsZero() {
			t.Errorf("again: %d fetches, %+v", n, res)
		}
		d.Invalidate(name(t, "101"))
		res, err = d.Resolve(t.Context(), name(t, "101"), directory.Options{})
		must(t, err)
		if res.Cached {
			t.Error("cached after Invalidate of the number")
		}
		res, err = d.Resolve(t.Context(), bob.aor, directory.Options{})
		must(t, err)
		if !res.Alias.IsZero() || !res.Cached {
			t.Errorf("the name's own resolution: %+v", res)
		}
	})
}

func TestNumberThatIsSomebodysName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 40)
		p := w.enrol("2001", "")
		p.put(p.registration(4000))
		res, err := w.directory().Resolve(t.Context(), p.aor, directory.Options{})
		must(t, err)
		if res.Key != p.key.Public() || !res.Alias.IsZero() {
			t.Errorf("%+v", res)
		}
		_, err = w.directory().Resolve(t.Context(), name(t, "999"), directory.Options{})
		wantErr(t, err, directory.ErrNoSuchName)
	})
}

func TestNumberOfSomebodyWhoIsNotRegistered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 40)
		bob := w.enrol("bob", "101")
		res, err := w.directory().Resolve(t.Context(), name(t, "101"), directory.Options{})
		wantErr(t, err, directory.ErrNotRegistered)
		if res.AOR != bob.aor || res.Alias.IsZero() || res.Key != bob.key.Public() {
			t.Errorf("%+v", res)
		}
	})
}

// 101 was carol's and is bob's now. Some holders replay carol's record; her
// certificate does not have the number any more.
func TestReplayedNumberRecordLeadsNowhere(t *testing.T) {
	for liars := 1; liars <= 4; liars++ {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 40)
			carol := w.person("carol", "101", 1)
			old := carol.numberRecord()
			carol = w.enrol("carol", "")
			carol.put(carol.registration(6666))
			bob := w.enrol("bob", "101")
			bob.put(bob.registration(4000))
			numbers := record.Resource(name(t, "101"), record.KindNumber)
			var attacked atomic.Int64
			w.ring.lie(func(a ask) (directory.Answer, error, bool) {
				for i := range liars {
					if a.resource == numbers && a.pos == record.Position(numbers, i, 4) {
						attacked.Add(1)
						a.honest.Records = []record.Record{old}
						return a.honest, nil, true
					}
				}
				return honestly(a)
			})
			d := w.directory()
			for range 30 {
				res, err := d.Resolve(t.Context(), name(t, "101"), directory.Options{Fresh: true})
				switch {
				case liars < 4 && (err != nil || res.AOR != bob.aor):
					t.Errorf("%d liars: %v %v", liars, res.AOR, err)
				case liars == 4 && (err == nil || !strings.Contains(err.Error(), "no account has the number")):
					t.Errorf("%d liars: %v %v", liars, res.AOR, err)
				}
				later(3 * time.Second)
			}
			if attacked.Load() == 0 || liars == 4 && w.refused.of(directory.ReasonUnconfirmedNumber) == 0 {
				t.Errorf("%d attacks, %d refused", attacked.Load(), w.refused.of(directory.ReasonUnconfirmedNumber))
			}
		})
	}
}

func TestNumberWhenTheRingIsBroken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 40)
		w.ring.lie(unreachable)
		res, err := w.directory().Resolve(t.Context(), name(t, "101"), directory.Options{})
		wantErr(t, err, directory.ErrRingDown)
		if res == nil {
			t.Error("no resolution beside the error")
		}
		w.ring.lie(silent)
		_, err = w.directory().Resolve(t.Context(), name(t, "101"), directory.Options{})
		wantErr(t, err, directory.ErrTimeout)
	})
}
