package directory_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/directory"
)

// BenchmarkResolveCold resolves names that were never met before, over a ring
// that answers at once: what is left is verification, reconstruction and this
// room's own work.
func BenchmarkResolveCold(b *testing.B) {
	w := newWorld(b, 32)
	const names = 64
	people := make([]*person, names)
	for i := range people {
		people[i] = w.enrol(fmt.Sprintf("p%d", i), "")
		people[i].put(people[i].registration(4000))
	}
	d := w.directory(func(c *directory.Config) { c.Watch = -1 })
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%names == 0 {
			b.StopTimer()
			fresh, err := w.freshTrust() // forgets what it has verified
			must(b, err)
			d.SetTrust(fresh)
			b.StartTimer()
		}
		if _, err := d.Resolve(b.Context(), people[i%names].aor, directory.Options{Fresh: true}); err != nil {
			b.Fatal(err)
		}
	}
}

// A whole resolution with nothing known but the issuing key checks four
// signatures: of the account's certificate, its delegation, the registration, and
// the one for account and shares. What comes twice is checked once.
func TestResolveChecksFourSignatures(t *testing.T) {
	w := newWorld(t, 32)
	bob := w.enrol("bob", "")
	bob.put(bob.registration(4000))
	d := w.directory(func(c *directory.Config) { c.Watch = -1 })
	trust, err := w.freshTrust()
	must(t, err)
	_, err = trust.VerifyIssuer(w.issuer.Certificate(), time.Time{})
	must(t, err)
	d.SetTrust(trust)
	known := trust.Checked()
	res, err := d.Resolve(t.Context(), bob.aor, directory.Options{Fresh: true})
	must(t, err)
	if got := trust.Checked() - known; got != 4 || len(res.Evidence.Shares) != 4 {
		t.Errorf("%d signatures for %d shares", got, len(res.Evidence.Shares))
	}
}

// BenchmarkResolveCached is what every later call within a minute costs.
func BenchmarkResolveCached(b *testing.B) {
	w := newWorld(b, 32)
	bob := w.enrol("bob", "")
	bob.put(bob.registration(4000))
	d := w.directory(func(c *directory.Config) { c.CacheFor = 1 << 40 })
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Resolve(b.Context(), bob.aor, directory.Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

func TestResolveCachedDoesNotAllocate(t *testing.T) {
	w := newWorld(t, 32)
	bob := w.enrol("bob", "")
	bob.put(bob.registration(4000))
	d := w.directory(func(c *directory.Config) { c.CacheFor = 1 << 40 })
	resolve := func() {
		if _, err := d.Resolve(t.Context(), bob.aor, directory.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	resolve()
	if got := testing.AllocsPerRun(100, resolve); got != 0 {
		t.Errorf("%v allocations", got)
	}
}
