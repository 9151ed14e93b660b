package directory_test

import (
	"bytes"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
)

// rotate gives a person a new key, signed by the old one.
func (p *person) rotate(overlap time.Duration) {
	p.w.t.Helper()
	fresh := newKey(p.w.t)
	p.version++
	r, err := identity.SignRotation(p.key, p.aor, fresh.Public(), p.version, time.Now(), overlap)
	must(p.w.t, err)
	p.rotations = append(p.rotations, r)
	p.key = fresh
	p.certify()
}

// followingShares are those of a key that follows another one.
func (p *person) followingShares(dealing uint64) []record.Record {
	return record.WithAccount(p.shares(dealing), p.cert)
}

// TestMatrixA2HalfARotation: at every moment while the records of a new key
// spread, whoever knows the old key, the new one or none finds one of the two,
// with a live device, and no alarm.
func TestMatrixA2HalfARotation(t *testing.T) {
	missed, asked := 0, 0
	for stored := 0; stored <= 12; stored += 2 { // shares, then account, then registration
		for _, knows := range []string{"nothing", "the old key", "the new key"} {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 40)
				w.ring.keeps = true
				bob := w.enrol("bob", "")
				old := bob.key.Public()
				bob.put(bob.registration(4000))
				later(time.Minute)
				bob.rotate(time.Hour)
				fresh := append(bob.followingShares(9), bob.account(), bob.registration(5000))
				bob.put(fresh[:stored]...)
				d := w.directory()
				switch knows {
				case "the old key":
					must(t, d.Accept(bob.aor, old, 1))
				case "the new key":
					if stored < 4 {
						return // nobody can have it from the ring
					}
					must(t, d.Accept(bob.aor, bob.key.Public(), 2))
				}
				for range 5 {
					asked++
					res, err := d.Resolve(t.Context(), bob.aor, directory.Options{Fresh: true})
					if err != nil || len(res.Devices) != 1 || res.Key != old && res.Key != bob.key.Public() || len(res.Evidence.Bad) > 0 {
						missed++
						t.Errorf("%d records stored, knowing %s: %v, %+v", stored, knows, err, res)
					}
					if stored == 12 && err == nil && res.Key != bob.key.Public() {
						t.Errorf("all is there, and the old key counts")
					}
					later(4 * time.Second)
				}
				if len(d.Conflicts()) > 0 || w.refused.of(directory.ReasonKeyChanged) > 0 {
					t.Errorf("%d records stored, knowing %s: an alarm", stored, knows)
				}
			})
		}
	}
	t.Logf("matrix: A2 look-ups that fail while a new key spreads: %d of %d", missed, asked)
}

// TestMatrixA2BusyHoldersOfTheNewKey: who has pinned the new key already, and whose
// next look-up finds busy just the holders that have it, asks these once more
// before the old key is an alarm. Where they stay away, it is one: nothing else is
// left of a pinned key.
func TestMatrixA2BusyHoldersOfTheNewKey(t *testing.T) {
	for _, c := range []struct {
		vain   int64
		beside bool // the next holder answers, who has the old key's only
	}{{1, false}, {2, false}, {1000, false}, {1, true}, {2, true}, {1000, true}} {
		vain, beside := c.vain, c.beside
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 40)
			w.ring.keeps = true
			bob := w.enrol("bob", "")
			bob.put(bob.registration(4000))
			later(time.Minute)
			bob.rotate(time.Hour)
			fresh := bob.followingShares(9)[:4]
			bob.put(fresh...)
			busy := map[identity.NodeID]bool{}
			for _, rec := range fresh {
				b, err := rec.Body()
				must(t, err)
				for _, pos := range record.PositionsOf(b, w.trust.Charter()) {
					busy[pos] = true
				}
			}
			d := w.directory()
			must(t, d.Accept(bob.aor, bob.key.Public(), 2))
			var refused atomic.Int64
			var mu sync.Mutex
			asked := map[identity.NodeID]int64{}
			w.ring.lie(func(a ask) (directory.Answer, error, bool) {
				mu.Lock()
				defer mu.Unlock()
				if asked[a.pos]++; !busy[a.pos] || asked[a.pos] > vain {
					return honestly(a)
				}
				refused.Add(1)
				if beside {
					a.honest.Records = slices.DeleteFunc(a.honest.Records, func(r record.Record) bool { // as who has not heard of it yet
						return slices.ContainsFunc(fresh, func(f record.Record) bool { return bytes.Equal(f.Signed, r.Signed) })
					})
					return a.honest, nil, true
				}
				return unreachable(a)
			})
			res, err := d.Resolve(t.Context(), bob.aor, directory.Options{Fresh: true})
			if err == nil && len(res.Evidence.Bad) > 0 {
				t.Errorf("honest holders are named: %+v", res.Evidence.Bad)
			}
			alarms := w.refused.of(directory.ReasonKeyChanged)
			switch {
			case refused.Load() < 4*min(vain, 4):
				t.Errorf("refused %d times", refused.Load())
			case vain < 1000 && (err != nil || res.Key != bob.key.Public() || len(res.Devices) != 1 || alarms > 0):
				t.Errorf("busy %d times: %v, %+v, %d alarms", vain, err, res, alarms)
			case vain == 1000 && (!errors.Is(err, directory.ErrKeyChanged) || alarms != 1):
				t.Errorf("always busy: %v, %d alarms", err, alarms)
			}
		})
	}
}

// TestMatrixA2IssuerAloneCannotRotate: an issuer that certifies and deals
// another key without the old key's word moves no pin, though all holders help.
func TestMatrixA2IssuerAloneCannotRotate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 40)
		bob := w.enrol("bob", "")
		bob.put(bob.registration(4000))
		d := w.directory()
		_, err := d.Resolve(t.Context(), bob.aor, directory.Options{})
		must(t, err)
		later(5 * time.Second)
		var attacks atomic.Int64
		lying(w, bob, 2, true, &attacks)
		for range 5 {
			res, err := d.Resolve(t.Context(), bob.aor, directory.Options{Fresh: true})
			wantErr(t, err, directory.ErrKeyChanged)
			if !res.Key.IsZero() {
				t.Error("a key is given")
			}
			later(5 * time.Second)
		}
		if attacks.Load() == 0 {
			t.Error("nobody attacked")
		}
		// The same with the old key's word is followed: the defence is that word.
		w.ring.lie(nil)
		bob.rotate(time.Hour)
		bob.put(bob.followingShares(9)...)
		bob.put(bob.account(), bob.registration(5000))
		var followed atomic.Int64
		d2 := w.directory(func(c *directory.Config) { c.Followed = func(directory.Followed) { followed.Add(1) } })
		must(t, d2.Accept(bob.aor, bob.rotations[0].Old, 1))
		res, err := d2.Resolve(t.Context(), bob.aor, directory.Options{Fresh: true})
		must(t, err)
		if res.Key != bob.key.Public() || res.Evidence.Pin != "follows" || followed.Load() != 1 {
			t.Errorf("%+v", res)
		}
		t.Logf("matrix: A2 pins moved by the issuer alone: 0 after %d forged answers", attacks.Load())
	})
}
