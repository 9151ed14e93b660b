package directory_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
)

func TestResolve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 32)
		w.ring.rtt = 2 * time.Millisecond
		bob := w.enrol("bob", "")
		bob.put(bob.registration(4000), bob.part(2, 4001))
		d := w.directory()
		res, err := d.Resolve(t.Context(), bob.aor, directory.Options{})
		must(t, err)
		if res.Key != bob.key.Public() || res.Version != 1 || res.AOR != bob.aor || res.Account.AOR != bob.aor || res.Cached {
			t.Errorf("resolution %+v", res)
		}
		if len(res.Devices) != 2 || res.Devices[0].Addrs[0].Port() != 4000 || res.Devices[1].Part != 2 ||
			res.Devices[0].Key != bob.device.Public() || res.Devices[0].Node != bob.node {
			t.Errorf("devices %+v", res.Devices)
		}
		e := res.Evidence
		if len(e.Shares) != 4 || e.K != 4 || e.N != 10 || len(e.Asked) != 7 || len(e.Bad) != 0 || e.Dealing != 1 || e.Pin != "first use" {
			t.Errorf("evidence %+v", e)
		}
		for _, a := range e.Asked {
			if a.Outcome != directory.OutcomeFound || a.Holder == nil || a.RTTMS < 2 {
				t.Errorf("asked %+v", a)
			}
		}
		if e.ElapsedMS != 2 {
			t.Errorf("one round trip of 2 ms took %v ms", e.ElapsedMS)
		}
		if _, err := json.Marshal(res); err != nil {
			t.Error(err)
		}
	})
}

func TestResolveCaches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 32)
		bob := w.enrol("bob", "")
		bob.put(bob.registration(4000))
		d := w.directory()
		fetches := func(opt directory.Options) (n int, cached bool) {
			before := w.ring.count()
			res, err := d.Resolve(t.Context(), bob.aor, opt)
			must(t, err)
			n = w.ring.count() - before
			synctest.Wait()
			return n, res.Cached
		}
		if n, cached := fetches(directory.Options{}); n == 0 || cached {
			t.Errorf("first: %d fetches, cached %v", n, cached)
		}
		later(30 * time.Second)
		if n, cached := fetches(directory.Options{}); n != 0 || !cached {
			t.Errorf("again: %d fetches, cached %v", n, cached)
		}
		if n, cached := fetches(directory.Options{Fresh: true}); n == 0 || cached {
			t.Errorf("fresh: %d fetches, cached %v", n, cached)
		}
		later(61 * time.Second)
		if n, _ := fetches(directory.Options{}); n == 0 {
			t.Error("used for longer than CacheFor")
		}
		d.Invalidate(bob.aor)
		if n, _ := fetches(directory.Options{}); n == 0 {
			t.Error("used after Invalidate")
		}
	})
}

func TestCacheEndsWithTheRegistration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 32)
		bob := w.enrol("bob", "")
		bob.put(bob.registration(4000))
		d := w.directory(func(c *directory.Config) { c.CacheFor = time.Hour })
		later(14 * time.Minute)
		_, err := d.Resolve(t.Context(), bob.aor, directory.Options{})
		must(t, err)
		later(59 * time.Second)
		res, err := d.Resolve(t.Context(), bob.aor, directory.Options{})
		must(t, err)
		if !res.Cached {
			t.Error("not cached while the registration lives")
		}
		later(2 * time.Second)
		_, err = d.Resolve(t.Context(), bob.aor, directory.Options{})
		wantErr(t, err, directory.ErrNotRegistered)
	})
}

func TestConcurrentCallsShareOneResolution(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 32)
		w.ring.rtt = 2 * time.Millisecond
		bob := w.enrol("bob", "")
		bob.put(bob.registration(4000))
		d := w.directory(func(c *directory.Config) { c.Watch = -1 })
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if _, err := d.Resolve(t.Context(), bob.aor, directory.Options{}); err != nil {
					t.Error(err)
				}
			})
		}
		// One that gives up does not take the others along.
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			if _, err := d.Resolve(ctx, bob.aor, directory.Options{}); !errors.Is(err, directory.ErrTimeout) {
				t.Error(err)
			}
		})
		wg.Wait()
		if n := w.ring.count(); n != 7 {
			t.Errorf("%d fetches for one name", n)
		}
	})
}

func TestNotRegistered(t *testing.T) {
	for what, prepare := range map[string]func(p *person){
		"never":        func(*person) {},
		"unregistered": func(p *person) { p.put(p.registration(4000)); p.put(p.registration(0)) },
		"expired": func(p *person) {
			p.put(p.registration(4000))
			later(16 * time.Minute)
		},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 32)
				bob := w.enrol("bob", "")
				prepare(bob)
				res, err := w.directory().Resolve(t.Context(), bob.aor, directory.Options{})
				wantErr(t, err, directory.ErrNotRegistered)
				if res.Key != bob.key.Public() || res.Account == nil || len(res.Devices) != 0 {
					t.Errorf("resolution %+v", res)
				}
			})
		})
	}
}

func TestNoSuchName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 32)
		w.ring.rtt = 2 * time.Millisecond
		start := time.Now()
		res, err := w.directory().Resolve(t.Context(), name(t, "nobody"), directory.Options{})
		wantErr(t, err, directory.ErrNoSuchName)
		if took := time.Since(start); took > 8*time.Millisecond {
			t.Errorf("took %v, want few round trips of 2 ms", took)
		}
		if len(res.Evidence.Asked) < 10 || !res.Key.IsZero() {
			t.Errorf("evidence %+v", res.Evidence)
		}
		if _, err := w.directory().Resolve(t.Context(), identity.AOR{}, directory.Options{}); !errors.Is(err, identity.ErrOtherOverlay) {
			t.Error(err)
		}
	})
}

func TestErrorsOfABrokenRing(t *testing.T) {
	shareIs := func(w *world, bob *person, do func(ask) (directory.Answer, error, bool)) func(ask) (directory.Answer, error, bool) {
		return func(a ask) (directory.Answer, error, bool) {
			if a.resource == record.Resource(bob.aor, record.KindShare) && *a.part > 3 {
				return do(a)
			}
			return honestly(a)
		}
	}
	for _, c := range []struct {
		what    string
		want    error
		elapsed time.Duration
		tamper  func(w *world, bob *person) func(ask) (directory.Answer, error, bool)
	}{
		{"nobody can be reached", directory.ErrRingDown, 0, func(*world, *person) func(ask) (directory.Answer, error, bool) { return unreachable }},
		{"nobody answers", directory.ErrTimeout, 3 * time.Second, func(*world, *person) func(ask) (directory.Answer, error, bool) { return silent }},
		{"three shares are left", directory.ErrNotEnoughShares, 0, func(w *world, bob *person) func(ask) (directory.Answer, error, bool) {
			return shareIs(w, bob, nothing)
		}},
		{"three shares can be reached", directory.ErrNotEnoughShares, 0, func(w *world, bob *person) func(ask) (directory.Answer, error, bool) {
			return shareIs(w, bob, unreachable)
		}},
		{"the other shares are silent", directory.ErrTimeout, 3 * time.Second, func(w *world, bob *person) func(ask) (directory.Answer, error, bool) {
			return shareIs(w, bob, silent)
		}},
		{"everybody says nothing, not being responsible", directory.ErrRingDown, 0, func(*world, *person) func(ask) (directory.Answer, error, bool) {
			return func(a ask) (directory.Answer, error, bool) {
				return directory.Answer{Holder: a.holder}, nil, true
			}
		}},
	} {
		t.Run(c.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 32)
				bob := w.enrol("bob", "")
				bob.put(bob.registration(4000))
				w.ring.lie(c.tamper(w, bob))
				start := time.Now()
				res, err := w.directory().Resolve(t.Context(), bob.aor, directory.Options{})
				wantErr(t, err, c.want)
				if took := time.Since(start); took != c.elapsed {
					t.Errorf("took %v, want %v", took, c.elapsed)
				}
				if res == nil || !res.Key.IsZero() || len(res.Evidence.Asked) == 0 {
					t.Errorf("resolution %+v", res)
				}
			})
		})
	}
}

func TestHedging(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 64)
		w.ring.rtt = 2 * time.Millisecond
		d := w.directory(func(c *directory.Config) { c.Watch = -1 })
		for _, user := range []string{"u1", "u2", "u3", "u4", "u5", "u6", "u7", "u8"} { // measure
			p := w.enrol(user, "")
			p.put(p.registration(4000))
			_, err := d.Resolve(t.Context(), p.aor, directory.Options{})
			must(t, err)
		}
		bob := w.enrol("bob", "")
		bob.put(bob.registration(4000))
		// The first answer of each kind never comes.
		var mu sync.Mutex
		hung := make(map[identity.NodeID]bool)
		w.ring.lie(func(a ask) (directory.Answer, error, bool) {
			mu.Lock()
			first := !hung[a.resource]
			hung[a.resource] = true
			mu.Unlock()
			if first {
				return silent(a)
			}
			return honestly(a)
		})
		start := time.Now()
		res, err := d.Resolve(t.Context(), bob.aor, directory.Options{})
		must(t, err)
		// 5 ms (the least wait, with its jitter) and one more round trip.
		if took := time.Since(start); took < 7*time.Millisecond || took > 9*time.Millisecond {
			t.Errorf("took %v", took)
		}
		pending := 0
		for _, a := range res.Evidence.Asked {
			if a.Outcome == directory.OutcomePending {
				pending++
			}
		}
		if pending == 0 {
			t.Error("nothing was hung")
		}
	})
}

func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 8)
		w.ring.lie(silent)
		d := w.directory(func(c *directory.Config) { c.MaxActive = 2 })
		var wg sync.WaitGroup
		for _, user := range []string{"a", "b"} {
			wg.Go(func() {
				if _, err := d.Resolve(t.Context(), name(t, user), directory.Options{}); !errors.Is(err, directory.ErrTimeout) {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		_, err := d.Resolve(t.Context(), name(t, "c"), directory.Options{})
		wantErr(t, err, directory.ErrBusy)
		if w.refused.of(directory.ReasonBusy) != 1 {
			t.Error("not counted")
		}
		wg.Wait()
	})
}

func TestRunEndsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 8)
		bob := w.enrol("bob", "")
		w.ring.lie(silent)
		d := w.directory()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- d.Run(ctx) }()
		resolved := make(chan error, 1)
		go func() {
			_, err := d.Resolve(t.Context(), bob.aor, directory.Options{})
			resolved <- err
		}()
		synctest.Wait()
		start := time.Now()
		cancel()
		must(t, <-ended)
		wantErr(t, <-resolved, directory.ErrClosed)
		if time.Since(start) != 0 {
			t.Error("Run waited for something else than goroutines")
		}
		_, err := d.Resolve(t.Context(), bob.aor, directory.Options{})
		wantErr(t, err, directory.ErrClosed)
		_, err = d.Publish(t.Context(), bob.registration(4000))
		wantErr(t, err, directory.ErrClosed)
	})
}
