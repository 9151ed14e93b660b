package keyshare_test

import (
	"crypto/sha256"
	"testing"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/keyshare"
)

// BenchmarkReconstruct is the work of a resolver on k verified shares: collect
// them and rebuild the key.
func BenchmarkReconstruct(b *testing.B) {
	w := newWorld(b, 4, 10)
	bob, key := name(b, "bob"), newKey(b).Public()
	shares := verified(b, w, bob, key)
	b.ReportAllocs()
	for b.Loop() {
		c := keyshare.NewCollector(bob, 4, 10)
		c.Expect(keyshare.Claim{Version: 1, Digest: key.Digest()})
		for i, s := range shares[:4] {
			must(b, c.Add(holder(i), s))
		}
		if _, ok := c.Key(); !ok {
			b.Fatal("no key")
		}
	}
}

// The collector, what it keeps of four shares, and a vector for each weight
// that package shamir is asked for.
func TestReconstructAllocations(t *testing.T) {
	w := newWorld(t, 4, 10)
	bob, key := name(t, "bob"), newKey(t).Public()
	shares := verified(t, w, bob, key)
	got := testing.AllocsPerRun(100, func() {
		c := keyshare.NewCollector(bob, 4, 10)
		c.Expect(keyshare.Claim{Version: 1, Digest: key.Digest()})
		for i, s := range shares[:4] {
			_ = c.Add(holder(i), s)
		}
	})
	if got > 16 {
		t.Errorf("%v allocations", got)
	}
}

// BenchmarkVerifyShare is the signature check of one share from a holder, the
// issuer's certificate known.
func BenchmarkVerifyShare(b *testing.B) {
	w := newWorld(b, 4, 10)
	p := w.params(name(b, "bob"))
	recs := w.deal(newKey(b).Public(), p)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		if i%len(recs) == 0 { // what a Trust has verified once it knows
			p.Seq++
			recs = w.deal(sha256.Sum256([]byte{byte(i)}), p)
		}
		b.StartTimer()
		if _, err := keyshare.Verify(recs[i%len(recs)], w.trust, now); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDeal is the issuer's work for one person: split and sign n shares.
func BenchmarkDeal(b *testing.B) {
	w := newWorld(b, 4, 10)
	key, p := newKey(b).Public(), w.params(name(b, "bob"))
	b.ReportAllocs()
	for b.Loop() {
		w.deal(key, p)
	}
}

func verified(b testing.TB, w *world, aor identity.AOR, key identity.PublicKey) []*keyshare.Share {
	b.Helper()
	var out []*keyshare.Share
	for _, r := range w.deal(key, w.params(aor)) {
		s, err := keyshare.Verify(r, w.trust, now)
		must(b, err)
		out = append(out, s)
	}
	return out
}
