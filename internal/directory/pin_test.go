package directory_test

import (
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
)

func TestFirstUsePins(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pins")
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 40)
		bob, carol := w.enrol("bob", ""), w.enrol("carol", "")
		bob.put(bob.registration(4000))
		pins, err := identity.LoadPins(path)
		must(t, err)
		d := w.directory(func(c *directory.Config) { c.Pins = pins })

		_, err = d.Resolve(t.Context(), bob.aor, directory.Options{NoPin: true})
		must(t, err)
		later(3 * time.Second)
		if _, ok := pins.Get(bob.aor); ok {
			t.Error("pinned by looking")
		}
		res, err := d.Resolve(t.Context(), bob.aor, directory.Options{Fresh: true})
		must(t, err)
		if res.Evidence.Pin != "first use" {
			t.Errorf("pin %q", res.Evidence.Pin)
		}
		res, err = d.Resolve(t.Context(), bob.aor, directory.Options{Fresh: true})
		must(t, err)
		if res.Evidence.Pin != "matches" {
			t.Errorf("pin %q at once after first use", res.Evidence.Pin)
		}
		// Whoever is not registered is pinned as well: the key is as good.
		_, err = d.Resolve(t.Context(), carol.aor, directory.Options{})
		wantErr(t, err, directory.ErrNotRegistered)
		later(3 * time.Second)
		for _, p := range []*person{bob, carol} {
			pin, ok := pins.Get(p.aor)
			if !ok || pin.Key != p.key.Public() || pin.Version != 1 || pin.First.IsZero() {
				t.Errorf("pin of %s: %+v", p.aor, pin)
			}
		}
		again, err := identity.LoadPins(path)
		must(t, err)
		if pin, ok := again.Get(bob.aor); !ok || pin.Key != bob.key.Public() {
			t.Error("the pin is not in the file")
		}
		// Seen again much later: the file says so.
		later(48 * time.Hour)
		bob.put(bob.registration(4000))
		_, err = d.Resolve(t.Context(), bob.aor, directory.Options{})
		must(t, err)
		later(3 * time.Second)
		if pin, _ := pins.Get(bob.aor); time.Since(pin.Last) > time.Minute || time.Since(pin.First) < 48*time.Hour {
			t.Errorf("last %v, first %v", pin.Last, pin.First)
		}
	})
}

func TestPinIsWrittenWhenRunEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 40)
		bob := w.enrol("bob", "")
		bob.put(bob.registration(4000))
		pins, err := identity.LoadPins("")
		must(t, err)
		d := w.directory(func(c *directory.Config) { c.Pins = pins })
		_, err = d.Resolve(t.Context(), bob.aor, directory.Options{})
		must(t, err)
		w.stop(d) // while it still listens
		if _, ok := pins.Get(bob.aor); !ok {
			t.Error("a pin was lost")
		}
	})
}

// countedPins counts how often the file is written, and keeps what was written
// last.
type countedPins struct {
	*identity.Pins
	writes int
	last   map[identity.AOR]identity.Pin
}

func (p *countedPins) SetAll(pins map[identity.AOR]identity.Pin) error {
	p.writes++
	p.last = pins
	return p.Pins.SetAll(pins)
}

// A gateway that resolves many names must not write its file for each of them.
func TestPinsAreWrittenTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 40)
		inMemory, err := identity.LoadPins("")
		must(t, err)
		pins := &countedPins{Pins: inMemory}
		d := w.directory(func(c *directory.Config) { c.Pins = pins })
		bob, carol := w.enrol("bob", ""), w.enrol("carol", "")
		for _, p := range []*person{bob, carol} {
			p.put(p.registration(4000))
			_, err := d.Resolve(t.Context(), p.aor, directory.Options{})
			must(t, err)
		}
		later(3 * time.Second)
		synctest.Wait()
		if pins.writes != 1 || len(pins.last) != 2 {
			t.Errorf("%d writes, the last of %d pins", pins.writes, len(pins.last))
		}
		// What somebody accepts meanwhile is the last word.
		dave, other := w.enrol("dave", ""), newKey(t).Public()
		dave.put(dave.registration(4000))
		_, err = d.Resolve(t.Context(), dave.aor, directory.Options{})
		must(t, err)
		must(t, d.Accept(dave.aor, other, 2))
		later(3 * time.Second)
		if pin, _ := pins.Get(dave.aor); pin.Key != other {
			t.Error("a pin that was accepted has been overwritten")
		}
	})
}

func TestOwnersAreCounted(t *testing.T) {
	for _, c := range []struct {
		what     string
		members  int
		owners   int // different ones, callee's and caller's not among them
		small    bool
		atLeast  int
		expected string
	}{
		{"alone", 1, 0, true, 0, "small ring: trust rests on certificate and pin"},
		{"three nodes", 3, 3, true, 1, "small ring: trust rests on certificate and pin"},
		{"forty nodes", 40, 40, false, 4, ""},
		{"forty nodes of two people", 40, 2, false, 1, "fewer than k of the shares came from people other than caller and callee"},
	} {
		t.Run(c.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, c.members)
				for i := range w.ring.members {
					w.ring.members[i].Owner = identity.OwnerTag{0xff} // the caller's
					if c.owners > 0 {
						w.ring.members[i].Owner = identity.OwnerTag{1, byte(i % c.owners)}
					}
				}
				bob := w.enrol("bob", "")
				bob.put(bob.registration(4000))
				res, err := w.directory().Resolve(t.Context(), bob.aor, directory.Options{})
				must(t, err)
				e := res.Evidence
				if e.SmallRing != c.small || e.Note != c.expected || e.DistinctOwners < c.atLeast || e.DistinctOwners > c.owners {
					t.Errorf("small %v, note %q, %d owners", e.SmallRing, e.Note, e.DistinctOwners)
				}
			})
		})
	}
}

// Caller and callee do not vouch for the callee's key.
func TestPartiesDoNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 40)
		bob := w.enrol("bob", "")
		bob.put(bob.registration(4000))
		for i := range w.ring.members {
			w.ring.members[i].Owner = bob.owner
		}
		d := w.directory(func(c *directory.Config) { c.Self = bob.owner })
		res, err := d.Resolve(t.Context(), bob.aor, directory.Options{})
		must(t, err)
		if res.Evidence.DistinctOwners != 0 {
			t.Errorf("%d owners", res.Evidence.DistinctOwners)
		}
	})
}

// A registration that comes after the result and is newer ends the use of the
// cached one.
func TestLateNewerRegistrationEndsTheCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 40)
		bob := w.enrol("bob", "")
		old := bob.registration(4000)
		bob.put(bob.registration(5000))
		res := record.Resource(bob.aor, record.KindRegistration)
		// Only the first who is asked has the new one, and is slow.
		var asked atomic.Int64
		w.ring.lie(func(a ask) (directory.Answer, error, bool) {
			if a.resource != res {
				return honestly(a)
			}
			if asked.Add(1) == 1 {
				later(time.Second)
			} else {
				a.honest.Records = []record.Record{old}
			}
			return a.honest, nil, true
		})
		d := w.directory(func(c *directory.Config) { c.Watch = -1 })
		first, err := d.Resolve(t.Context(), bob.aor, directory.Options{})
		must(t, err)
		if first.Devices[0].Addrs[0].Port() != 4000 {
			t.Fatal("the new one was not late")
		}
		later(2 * time.Second)
		w.ring.lie(nil)
		second, err := d.Resolve(t.Context(), bob.aor, directory.Options{})
		must(t, err)
		if second.Cached || second.Devices[0].Addrs[0].Port() != 5000 {
			t.Errorf("cached %v, devices %+v", second.Cached, second.Devices)
		}
	})
}
