package directory_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/record"
)

// lying has the issuer sign another key for bob, and the holders of most
// positions, or of all, answer with that.
func lying(w *world, bob *person, version uint32, all bool, attacks *atomic.Int64) *person {
	evil := w.person("bob", "", version)
	shares, account, reg := evil.shares(7), evil.account(), evil.registration(6666)
	w.ring.lie(func(a ask) (directory.Answer, error, bool) {
		switch a.resource {
		case record.Resource(bob.aor, record.KindShare):
			if !all && *a.part <= 4 {
				return honestly(a)
			}
			a.honest.Records = shares[*a.part-1 : *a.part]
		case record.Resource(bob.aor, record.KindAccount):
			if !all && a.pos == record.Position(a.resource, 2, 4) {
				return honestly(a)
			}
			a.honest.Records = []record.Record{account}
		default:
			if !all && a.pos == record.Position(a.resource, 1, 4) {
				return honestly(a)
			}
			a.honest.Records = []record.Record{reg}
		}
		attacks.Add(1)
		return a.honest, nil, true
	})
	return evil
}

// TestMatrixF5TheAddressDecides: whoever dials an address that names its key is
// led to that key as long as k honest shares can be reached, although the issuer
// and the holders of most positions say another one; and to nobody where they
// all do. The name alone is led to the other key, or to a dispute.
func TestMatrixF5TheAddressDecides(t *testing.T) {
	var right, wrong, refused, misled int
	var attacks atomic.Int64
	for _, version := range []uint32{1, 2} {
		for range 10 {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 40)
				bob := w.enrol("bob", "")
				bob.put(bob.registration(4000))
				lying(w, bob, version, false, &attacks)
				d, byName := w.directory(), w.directory()
				if res, err := byName.Resolve(t.Context(), bob.aor, directory.Options{}); err != nil || res.Key != bob.key.Public() {
					misled++ // without the address that says it
				}
				res, err := d.Resolve(t.Context(), bob.aor, directory.Options{Key: bob.key.Public().Tag()})
				switch {
				case err == nil && res.Key == bob.key.Public() && len(res.Devices) == 1 && res.Devices[0].Addrs[0].Port() == 4000:
					right++
				case err == nil:
					wrong++
				default:
					t.Errorf("version %d: %v", version, err)
					refused++
				}
				later(5 * time.Second)

				other := w.directory()
				evilAll := lying(w, bob, version, true, &attacks)
				res, err = other.Resolve(t.Context(), bob.aor, directory.Options{Key: bob.key.Public().Tag()})
				wantErr(t, err, directory.ErrOtherKey)
				if !res.Key.IsZero() || len(res.Devices) > 0 {
					t.Errorf("refused, and yet %+v", res)
				}
				if w.refused.of(directory.ReasonOtherAddress) == 0 {
					t.Error("not counted")
				}
				if _, err := other.Resolve(t.Context(), bob.aor, directory.Options{Key: evilAll.key.Public().Tag()}); err != nil {
					t.Errorf("the address of the other key: %v", err) // so the refusal was for the key alone
				}
			})
		}
	}
	t.Logf("matrix: F5 calls by the address that names its key: %d right, %d wrong, %d refused; by the name alone %d of 20 misled or disputed", right, wrong, refused, misled)
	if wrong > 0 || attacks.Load() == 0 || misled == 0 || right != 20 {
		t.Errorf("%d attacks", attacks.Load())
	}
}

// An address that names a key that the name had before leads to its present one.
func TestAnOldAddressFollowsRotations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 40)
		bob := w.enrol("bob", "")
		old := bob.key.Public()
		bob.rotate(time.Hour)
		bob.put(bob.followingShares(9)...)
		bob.put(bob.account(), bob.registration(5000))
		d := w.directory()
		res, err := d.Resolve(t.Context(), bob.aor, directory.Options{Key: old.Tag()})
		must(t, err)
		if res.Key != bob.key.Public() || res.Key == old {
			t.Errorf("%+v", res)
		}
		res, err = d.Resolve(t.Context(), bob.aor, directory.Options{Key: old.Tag()})
		must(t, err)
		if !res.Cached {
			t.Error("looked up twice")
		}
	})
}
