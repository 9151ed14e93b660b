package keyshare_test

import (
	"crypto/sha256"
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/keyshare"
)

func TestDealPutsShareXAtReplicaXMinus1(t *testing.T) {
	w := newWorld(t, 4, 10)
	bob := name(t, "bob")
	key := newKey(t).Public()
	recs := w.deal(key, w.params(bob))
	if len(recs) != 10 {
		t.Fatalf("%d shares", len(recs))
	}
	for i, r := range recs {
		v, err := record.Verify(r, w.trust, now)
		must(t, err)
		if v.Body.Part != uint64(i+1) || int(v.Share.X) != i+1 {
			t.Errorf("share %d: part %d, x %d", i, v.Body.Part, v.Share.X)
		}
		if v.Share.Digest != sha256.Sum256(key[:]) || v.Share.K != 4 || v.Share.N != 10 || v.Owner != (identity.OwnerTag{1}) {
			t.Errorf("share %d says %+v", i, v.Share)
		}
		want := record.Position(record.Resource(bob, record.KindShare), i, 10)
		if at := record.PositionsOf(v.Body, w.trust.Charter()); len(at) != 1 || at[0] != want {
			t.Errorf("share %d lies at %v, want %v", i, at, want)
		}
	}
}

// Fewer than k shares say nothing: any k−1 of them are consistent with every
// key, so here with another key's missing share.
func TestAnyKSharesGiveTheKeyAndFewerDoNot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 20).Draw(t, "n")
		k := rapid.IntRange(2, n).Draw(t, "k")
		w := newWorld(t, uint8(k), uint8(n))
		key := newKey(t).Public()
		recs := w.deal(key, w.params(name(t, "bob")))
		order := rapid.Permutation(recs).Draw(t, "order")
		c := keyshare.NewCollector(name(t, "bob"), uint8(k), uint8(n))
		for i, r := range order {
			must(t, w.answer(c, holder(i), r))
			got, ok := c.Key()
			if ok != (i+1 >= k) {
				t.Fatalf("after %d of %d shares: key %v", i+1, k, ok)
			}
			if ok && (got.Key != key || len(got.Used) != k) {
				t.Fatalf("wrong key, or made of %d shares", len(got.Used))
			}
		}
		if bad := c.Bad(); len(bad) > 0 {
			t.Fatalf("honest holders named: %v", bad)
		}
	})
}

func TestDealRefusesWhatIsNoDealing(t *testing.T) {
	w := newWorld(t, 4, 10)
	for what, edit := range map[string]func(*keyshare.Params){
		"one share is the key itself": func(p *keyshare.Params) { p.K = 1 },
		"no threshold":                func(p *keyshare.Params) { p.K = 0 },
		"k above n":                   func(p *keyshare.Params) { p.K, p.N = 5, 4 },
		"nobody's":                    func(p *keyshare.Params) { p.AOR = identity.AOR{} },
		"no lifetime":                 func(p *keyshare.Params) { p.Lifetime = time.Millisecond },
	} {
		p := w.params(name(t, "bob"))
		edit(&p)
		if _, err := keyshare.Deal(newKey(t).Public(), p, w.issuer); !errors.Is(err, keyshare.ErrParams) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestResignKeepsTheValues(t *testing.T) {
	w := newWorld(t, 4, 10)
	bob := name(t, "bob")
	key := newKey(t).Public()
	old := w.deal(key, w.params(bob))
	later := now.Add(30 * 24 * time.Hour)
	renewed, err := keyshare.Resign(old, w.trust, keyshare.Renewal{Seq: 2, Now: later, Lifetime: 90 * 24 * time.Hour}, w.issuer)
	must(t, err)

	c := keyshare.NewCollector(bob, 4, 10)
	for i := range 4 { // two holders missed the renewal
		r := old[i]
		if i >= 2 {
			r = renewed[i]
		}
		s, err := keyshare.Verify(r, w.trust, later)
		must(t, err)
		must(t, c.Add(holder(i), s))
	}
	if got, ok := c.Key(); !ok || got.Key != key {
		t.Fatal("old and renewed shares do not mix")
	}
	b, err := renewed[9].Body()
	must(t, err)
	if b.Seq != 2 || b.Time != later.UnixMilli() {
		t.Errorf("renewed share: %+v", b)
	}
}

func TestResignSignsNothingThatWasNotDealt(t *testing.T) {
	w := newWorld(t, 4, 10)
	bob := name(t, "bob")
	recs := w.deal(newKey(t).Public(), w.params(bob))
	p := w.params(bob)
	p.Dealing = 2
	other := w.deal(newKey(t).Public(), p)
	with := func(i int, r record.Record) []record.Record {
		out := append([]record.Record(nil), recs...)
		out[i] = r
		return out
	}
	stranger := newKey(t)
	for what, in := range map[string][]record.Record{
		"nothing":         nil,
		"one missing":     recs[1:],
		"one twice":       with(0, recs[1]),
		"another dealing": with(0, other[0]),
		"a wrong value": with(3, w.forge(recs[3], func(_ *record.Body, s *record.Share) {
			s.Y[0] ^= 1
		})),
		"a stranger's signature": with(3, w.forgeBy(stranger, recs[3], func(*record.Body, *record.Share) {})),
	} {
		_, err := keyshare.Resign(in, w.trust, keyshare.Renewal{Seq: 2, Now: now, Lifetime: time.Hour}, w.issuer)
		if !errors.Is(err, keyshare.ErrParams) && !errors.Is(err, keyshare.ErrBadShare) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := keyshare.Resign(recs, w.trust, keyshare.Renewal{Seq: 1, Now: now, Lifetime: time.Hour}, w.issuer); !errors.Is(err, keyshare.ErrParams) {
		t.Errorf("the same sequence again: %v", err)
	}
}
