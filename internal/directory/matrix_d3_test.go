package directory_test

import (
	"bytes"
	"crypto/rand"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
)

// The attackers of these tests are members of the ring with valid
// certificates. Each holds what its place gives it and answers with what it
// likes, from everything that was ever signed; none has the issuing key, except
// where the issuer itself is the attacker.

// stock is what an attacker has collected.
type stock struct {
	bob, mallory *person
	old          *person // bob's earlier key, in the attacker's hands
	oldShares    []record.Record
	mallorys     []record.Record
	earlier      []record.Record // an earlier dealing of bob's key
}

func collect(w *world) *stock {
	s := &stock{mallory: w.person("mallory", "", 1), old: w.person("bob", "", 1), bob: w.person("bob", "", 2)}
	s.oldShares, s.mallorys, s.earlier = s.old.shares(1), s.mallory.shares(1), s.bob.shares(1)
	s.bob.put(s.bob.shares(2)...)
	s.bob.put(s.bob.account(), s.bob.registration(4000))
	return s
}

// stocked makes a world and its stock, for many rounds.
func stocked(t *testing.T) (w *world, s *stock) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w = newWorld(t, 40)
		s = collect(w)
	})
	return w, s
}

func TestMatrixD3HoldersLieInEveryWay(t *testing.T) {
	w0, s := stocked(t)
	var lied, right atomic.Int64
	for _, lie := range []struct {
		name   string
		answer func(s *stock, a ask, x int) []record.Record
	}{
		{"no share", func(*stock, ask, int) []record.Record { return nil }},
		{"old version", func(s *stock, _ ask, x int) []record.Record { return s.oldShares[x-1 : x] }},
		{"other AOR", func(s *stock, _ ask, x int) []record.Record { return s.mallorys[x-1 : x] }},
		{"other dealing", func(s *stock, _ ask, x int) []record.Record { return s.earlier[x-1 : x] }},
		{"the same share from everywhere", func(s *stock, a ask, x int) []record.Record { return s.earlier[:1] }},
		{"garbage", func(_ *stock, a ask, _ int) []record.Record {
			r := a.honest.Records[0]
			r.Signed = bytes.Clone(r.Signed)
			rand.Read(r.Signed[40:])
			return []record.Record{r}
		}},
		{"another kind", func(s *stock, _ ask, _ int) []record.Record { return []record.Record{s.mallory.account()} }},
		{"a heap of records", func(s *stock, a ask, x int) []record.Record {
			return append(append([]record.Record{}, s.oldShares...), a.honest.Records...)
		}},
	} {
		t.Run(lie.name, func(t *testing.T) {
			const rounds = 10
			var attacks atomic.Int64
			for round := range rounds {
				synctest.Test(t, func(t *testing.T) {
					w := w0.again(t, 40)
					shares := record.Resource(s.bob.aor, record.KindShare)
					w.ring.lie(func(a ask) (directory.Answer, error, bool) {
						if a.resource != shares || (int(*a.part)+round)%10 < 4 { // k honest holders
							return honestly(a)
						}
						attacks.Add(1)
						a.honest.Records = lie.answer(s, a, int(*a.part))
						return a.honest, nil, true
					})
					res, err := w.directory().Resolve(t.Context(), s.bob.aor, directory.Options{})
					if err != nil || res.Key != s.bob.key.Public() {
						t.Errorf("key %s, error %v", res.Key, err)
						return
					}
					right.Add(1)
				})
			}
			lied.Add(attacks.Load())
			if attacks.Load() < rounds {
				t.Errorf("the attackers answered only %d times in %d resolutions", attacks.Load(), rounds)
			}
		})
	}
	t.Logf("matrix: D3 n-k lying holders on a ring: right key in %d of 80 resolutions, %d lies told", right.Load(), lied.Load())
}

// Beside the shares, one holder of the registration and of the account record
// replays what was right before bob changed his key.
func TestMatrixD3OldKeyReplayedEverywhere(t *testing.T) {
	var attacks atomic.Int64
	const rounds = 24
	w0, s := stocked(t)
	for round := range rounds {
		synctest.Test(t, func(t *testing.T) {
			w := w0.again(t, 40)
			oldReg, oldAccount := s.old.registration(6666), s.old.account()
			w.ring.lie(func(a ask) (directory.Answer, error, bool) {
				c := w.trust.Charter()
				lie := func(recs ...record.Record) (directory.Answer, error, bool) {
					attacks.Add(1)
					a.honest.Records = recs
					return a.honest, nil, true
				}
				switch a.resource {
				case record.Resource(s.bob.aor, record.KindShare):
					if x := int(*a.part); (x+round)%10 >= 4 {
						return lie(s.oldShares[x-1])
					}
				case record.Resource(s.bob.aor, record.KindRegistration):
					if a.pos == record.Position(a.resource, round%4, record.Replicas(record.KindRegistration, c)) {
						return lie(oldReg)
					}
				case record.Resource(s.bob.aor, record.KindAccount):
					if a.pos == record.Position(a.resource, round%4, record.Replicas(record.KindAccount, c)) {
						return lie(oldAccount)
					}
				}
				return honestly(a)
			})
			res, err := w.directory().Resolve(t.Context(), s.bob.aor, directory.Options{})
			if err != nil || res.Key != s.bob.key.Public() || res.Devices[0].Addrs[0].Port() != 4000 {
				t.Errorf("round %d: resolution %+v, error %v", round, res, err)
			}
		})
	}
	if attacks.Load() < rounds {
		t.Errorf("the attackers answered only %d times", attacks.Load())
	}
	t.Logf("matrix: D3 an old key replayed: right key in %d of %d resolutions, %d replays", rounds, rounds, attacks.Load())
}

// Every position behaves as it likes; at least k shares and two registrations
// are honest. The right key comes out, within the time allowed.
func TestMatrixD3RandomFaults(t *testing.T) {
	var attacks atomic.Int64
	w0, s := stocked(t)
	rapid.Check(t, func(rt *rapid.T) {
		faults := rapid.SliceOfN(rapid.IntRange(1, 6), 18, 18).Draw(rt, "faults")
		for _, i := range rapid.Permutation([]int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}).Draw(rt, "shares")[:4] {
			faults[i] = 0
		}
		for _, i := range rapid.Permutation([]int{10, 11, 12, 13}).Draw(rt, "registrations")[:2] {
			faults[i] = 0
		}
		var key, right identity.PublicKey
		var failed error
		synctest.Test(t, func(t *testing.T) {
			w := w0.again(t, 60)
			w.ring.rtt = 2 * time.Millisecond
			fault := make(map[identity.NodeID]int)
			for i, kind := range []record.Kind{record.KindShare, record.KindRegistration, record.KindAccount} {
				for j := range []int{10, 4, 4}[i] {
					fault[record.Position(record.Resource(s.bob.aor, kind), j, []int{10, 4, 4}[i])] = faults[[]int{0, 10, 14}[i]+j]
				}
			}
			w.ring.lie(func(a ask) (directory.Answer, error, bool) {
				if fault[a.pos] != 0 {
					attacks.Add(1)
				}
				switch fault[a.pos] {
				case 0:
					return honestly(a)
				case 1:
					return nothing(a)
				case 2:
					return unreachable(a)
				case 3:
					return silent(a)
				case 4:
					return directory.Answer{Holder: a.holder}, nil, true
				case 5:
					a.honest.Records = s.mallorys[:1]
				case 6:
					a.honest.Records = []record.Record{s.old.account()}
					if a.part != nil {
						a.honest.Records = s.oldShares[*a.part-1 : *a.part]
					}
				}
				return a.honest, nil, true
			})
			res, err := w.directory().Resolve(t.Context(), s.bob.aor, directory.Options{})
			key, right, failed = res.Key, s.bob.key.Public(), err
		})
		if failed != nil || key != right {
			rt.Fatalf("faults %v: key %s, error %v", faults, key, failed)
		}
	})
	if attacks.Load() == 0 {
		t.Error("nothing went wrong")
	}
	t.Logf("matrix: D3 random faults at all but k share holders: attacker's key 0, %d faults", attacks.Load())
}
