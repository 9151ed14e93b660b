package directory_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/keyshare"
)

// equivocate lets the issuer itself sign a second key for bob, and its nodes
// answer with it at the given share positions.
func equivocate(w *world, bob *person, version uint32, positions func(x int) bool, attacks *atomic.Int64) *person {
	evil := w.person("bob", "", version)
	second := evil.shares(7)
	shares := record.Resource(bob.aor, record.KindShare)
	w.ring.lie(func(a ask) (directory.Answer, error, bool) {
		if a.resource != shares || !positions(int(*a.part)) {
			return honestly(a)
		}
		attacks.Add(1)
		a.honest.Records = second[*a.part-1 : *a.part]
		return a.honest, nil, true
	})
	return evil
}

func TestMatrixA2SecondKeyIsRefusedAndKeptAsEvidence(t *testing.T) {
	for _, version := range []uint32{1, 2} {
		t.Run(fmt.Sprintf("version %d", version), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 40)
				bob := w.enrol("bob", "")
				bob.put(bob.registration(4000))
				var attacks atomic.Int64
				equivocate(w, bob, version, func(x int) bool { return x > 3 }, &attacks)
				var alarms []*keyshare.Conflict
				d := w.directory(func(c *directory.Config) {
					c.Conflict = func(k *keyshare.Conflict) { alarms = append(alarms, k) }
				})
				res, err := d.Resolve(t.Context(), bob.aor, directory.Options{})
				wantErr(t, err, directory.ErrKeyConflict)
				t.Logf("matrix: A2 second keys of version %d taken: 0 of %d answers", version, attacks.Load())
				if !res.Key.IsZero() || res.Evidence.Conflict == nil || attacks.Load() == 0 {
					t.Errorf("resolution %+v after %d attacks", res, attacks.Load())
				}
				// Closed until somebody decides, whichever positions are asked next.
				w.ring.lie(nil)
				_, err = d.Resolve(t.Context(), bob.aor, directory.Options{Fresh: true})
				wantErr(t, err, directory.ErrKeyConflict)
				if len(alarms) != 1 || len(d.Conflicts()) != 1 || w.refused.of(directory.ReasonKeyConflict) == 0 {
					t.Errorf("%d alarms, %d kept", len(alarms), len(d.Conflicts()))
				}
				must(t, d.Accept(bob.aor, bob.key.Public(), 1))
				res, err = d.Resolve(t.Context(), bob.aor, directory.Options{})
				must(t, err)
				if res.Key != bob.key.Public() {
					t.Error("not the key that was accepted")
				}
			})
		})
	}
}

func TestMatrixA2PinStandsAgainstTheIssuer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 40)
		bob := w.enrol("bob", "")
		bob.put(bob.registration(4000))
		d := w.directory()
		_, err := d.Resolve(t.Context(), bob.aor, directory.Options{})
		must(t, err)
		later(5 * time.Second)
		var attacks atomic.Int64
		equivocate(w, bob, 1, func(x int) bool { return x > 4 }, &attacks)
		for range 10 {
			res, err := d.Resolve(t.Context(), bob.aor, directory.Options{Fresh: true})
			must(t, err)
			if res.Key != bob.key.Public() || res.Evidence.Pin != "matches" {
				t.Fatalf("resolution %+v", res)
			}
			later(5 * time.Second)
		}
		t.Logf("matrix: A2 a pinned key overridden by the issuer's second one: 0 of 10 resolutions, %d answers", attacks.Load())
		if attacks.Load() == 0 || len(d.Conflicts()) != 1 {
			t.Errorf("%d attacks, %d conflicts kept", attacks.Load(), len(d.Conflicts()))
		}
	})
}

// A second key that is met only after the call went on is still met.
func TestMatrixA2SecondKeyIsHeardWhileListening(t *testing.T) {
	heard := 0
	var attacks atomic.Int64
	for round := 0; heard == 0 && round < 60; round++ { // it may be met at once
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 40)
			bob := w.enrol("bob", "")
			bob.put(bob.registration(4000))
			equivocate(w, bob, 1, func(x int) bool { return x > 8 }, &attacks)
			d := w.directory(func(c *directory.Config) { c.Watch = 6 })
			res, err := d.Resolve(t.Context(), bob.aor, directory.Options{})
			later(3 * time.Second)
			if err != nil {
				return // met at once
			}
			if res.Key != bob.key.Public() {
				t.Error("wrong key")
			}
			_, err = d.Resolve(t.Context(), bob.aor, directory.Options{})
			wantErr(t, err, directory.ErrKeyConflict) // six more: every position was read
			heard++
		})
	}
	if heard == 0 || attacks.Load() == 0 {
		t.Errorf("heard %d times, attacked %d times", heard, attacks.Load())
	}
	t.Logf("matrix: A2 a second key at 2 of 10 positions: heard %d time, after the call went on; %d answers", heard, attacks.Load())
}

// An issuer certifies another key for bob and deals it, while bob goes on
// using his: whoever hears both knows that there was no change of keys.
func TestMatrixA2NewKeyWhileTheOldOneIsInUse(t *testing.T) {
	for _, pinned := range []bool{false, true} {
		heard := 0
		var attacks atomic.Int64
		for round := 0; heard == 0 && round < 60; round++ { // only one of the two may be heard
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 40)
				bob := w.enrol("bob", "")
				evil := w.person("bob", "", 2)
				later(2 * time.Hour)
				bob.put(bob.registration(4000))
				d := w.directory(func(c *directory.Config) { c.Watch = -1 })
				if pinned {
					must(t, d.Accept(bob.aor, bob.key.Public(), 1))
				}
				second, reg := evil.shares(1), evil.registration(6666)
				w.ring.lie(func(a ask) (directory.Answer, error, bool) {
					switch {
					case a.part != nil && *a.part > 4:
						a.honest.Records = second[*a.part-1 : *a.part]
					case a.pos == record.Position(record.Resource(bob.aor, record.KindRegistration), 0, 4):
						a.honest.Records = []record.Record{reg}
					default:
						return honestly(a)
					}
					attacks.Add(1)
					return a.honest, nil, true
				})
				res, err := d.Resolve(t.Context(), bob.aor, directory.Options{})
				switch {
				case pinned && (err != nil || res.Key != bob.key.Public()):
					t.Errorf("pinned: %v", err)
				case !pinned && err == nil && res.Key != bob.key.Public():
					t.Error("the new key was taken although the old one is in use")
				}
				if len(d.Conflicts()) > 0 {
					heard++
				}
			})
		}
		t.Logf("matrix: A2 a new key beside one in use (pinned: %v): taken 0 times, heard %d time; %d answers", pinned, heard, attacks.Load())
		if heard == 0 || attacks.Load() == 0 {
			t.Errorf("pinned %v: heard %d times, attacked %d times", pinned, heard, attacks.Load())
		}
	}
}

// F2: whoever answers with another key than the pinned one is refused.
func TestMatrixF2KeySwapIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 40)
		bob := w.enrol("bob", "")
		bob.put(bob.registration(4000))
		var alarms []*directory.KeyChangedError
		d := w.directory(func(c *directory.Config) {
			c.Changed = func(e *directory.KeyChangedError) { alarms = append(alarms, e) }
		})
		_, err := d.Resolve(t.Context(), bob.aor, directory.Options{})
		must(t, err)
		later(time.Minute + time.Second)
		// The whole overlay now says that bob has another key.
		evil := w.person("bob", "", 2)
		evil.put(evil.shares(1)...)
		evil.put(evil.account(), evil.registration(6666))
		res, err := d.Resolve(t.Context(), bob.aor, directory.Options{})
		wantErr(t, err, directory.ErrKeyChanged)
		changed := err.(*directory.KeyChangedError)
		if changed.Old != bob.key.Public() || changed.New != evil.key.Public() || changed.OldVersion != 1 || changed.NewVersion != 2 {
			t.Errorf("%+v", changed)
		}
		if !res.Key.IsZero() || len(res.Devices) != 0 || res.Evidence.Pin != "changed" || len(alarms) != 1 ||
			w.refused.of(directory.ReasonKeyChanged) != 1 {
			t.Errorf("resolution %+v, %d alarms", res, len(alarms))
		}
		t.Logf("matrix: F2 calls with a swapped key: 0 of 1, alarms: %d", len(alarms))
		// A person decides.
		must(t, d.Accept(bob.aor, evil.key.Public(), 2))
		res, err = d.Resolve(t.Context(), bob.aor, directory.Options{})
		must(t, err)
		if res.Key != evil.key.Public() {
			t.Error("the decision does not count")
		}
	})
}
