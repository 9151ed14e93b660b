package directory_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/keyshare"
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
					}
				})
			}
			if attacks.Load() < rounds {
				t.Errorf("the attackers answered only %d times in %d resolutions", attacks.Load(), rounds)
			}
		})
	}
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
}

// C4: "not found" is believed only from a quorum of responsible nodes.
func TestMatrixC4OneNodeCannotFakeNotFound(t *testing.T) {
	var w0 *world
	var bob *person
	synctest.Test(t, func(t *testing.T) {
		w0 = newWorld(t, 1)
		bob = w0.enrol("bob", "")
		bob.put(bob.registration(4000))
	})
	for _, members := range []int{2, 3, 5, 8, 32, 200} {
		t.Run(fmt.Sprint(members), func(t *testing.T) {
			var attacks atomic.Int64
			for liar := range 18 { // whoever holds one of the 10 + 4 + 4 positions
				synctest.Test(t, func(t *testing.T) {
					w := w0.again(t, members)
					evil := w.ring.holderOf(bob.aor, liar)
					w.ring.lie(func(a ask) (directory.Answer, error, bool) {
						if a.holder.Node != evil {
							return honestly(a)
						}
						attacks.Add(1)
						return nothing(a)
					})
					_, err := w.directory().Resolve(t.Context(), bob.aor, directory.Options{})
					if strings.Contains(fmt.Sprint(err), directory.ErrNoSuchName.Error()) {
						t.Errorf("one of %d nodes hid a name: %v", members, err)
					}
					if members >= 32 && err != nil {
						t.Errorf("one of %d nodes stopped a call: %v", members, err)
					}
				})
			}
			if attacks.Load() == 0 {
				t.Error("no liar was asked")
			}
		})
	}
}

// C4: whoever is not responsible proves nothing by having nothing.
func TestMatrixC4IntermediatesCannotFakeNotFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 32)
		bob := w.enrol("bob", "")
		bob.put(bob.registration(4000))
		var attacks atomic.Int64
		w.ring.lie(func(a ask) (directory.Answer, error, bool) {
			attacks.Add(1)
			return directory.Answer{Holder: a.holder}, nil, true
		})
		_, err := w.directory().Resolve(t.Context(), bob.aor, directory.Options{})
		wantErr(t, err, directory.ErrRingDown)
		if attacks.Load() == 0 {
			t.Error("nobody was asked")
		}
	})
}

// And nobody fakes existence: what is answered for a name that nobody has is
// refused, and the other nodes' word proves the absence.
func TestMatrixC4OneNodeCannotFakeExistence(t *testing.T) {
	var attacks atomic.Int64
	for round := range 16 {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 32)
			mallory := w.enrol("mallory", "")
			shares := mallory.shares(2)
			w.ring.lie(func(a ask) (directory.Answer, error, bool) {
				if a.holder.Node != w.ring.members[2*round].Node {
					return honestly(a)
				}
				attacks.Add(1)
				a.honest.Records = []record.Record{mallory.registration(4000)}
				if a.part != nil {
					a.honest.Records = shares[*a.part-1 : *a.part]
				}
				return a.honest, nil, true
			})
			_, err := w.directory().Resolve(t.Context(), name(t, "nobody"), directory.Options{})
			wantErr(t, err, directory.ErrNoSuchName)
		})
	}
	if attacks.Load() == 0 {
		t.Error("the liar was never asked")
	}
}

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
		if attacks.Load() == 0 || len(d.Conflicts()) != 1 {
			t.Errorf("%d attacks, %d conflicts kept", attacks.Load(), len(d.Conflicts()))
		}
	})
}

// A second key that is met only after the call went on is still met.
func TestMatrixA2SecondKeyIsHeardWhileListening(t *testing.T) {
	heard := 0
	var attacks atomic.Int64
	for range 10 {
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
}

// An issuer certifies another key for bob and deals it, while bob goes on
// using his: whoever hears both knows that there was no change of keys.
func TestMatrixA2NewKeyWhileTheOldOneIsInUse(t *testing.T) {
	for _, pinned := range []bool{false, true} {
		heard := 0
		var attacks atomic.Int64
		for range 10 {
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
		// A person decides.
		must(t, d.Accept(bob.aor, evil.key.Public(), 2))
		res, err = d.Resolve(t.Context(), bob.aor, directory.Options{})
		must(t, err)
		if res.Key != evil.key.Public() {
			t.Error("the decision does not count")
		}
	})
}

// D2: a registration that was replaced does not come back.
func TestMatrixD2OldRegistrationIsNotBelievedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 40)
		bob := w.enrol("bob", "")
		old := bob.registration(4000)
		bob.put(old)
		d := w.directory()
		bob.put(bob.registration(5000))
		_, err := d.Resolve(t.Context(), bob.aor, directory.Options{})
		must(t, err)
		var attacks atomic.Int64
		w.ring.lie(func(a ask) (directory.Answer, error, bool) {
			if a.resource != record.Resource(bob.aor, record.KindRegistration) || attacks.Add(1) > 3 {
				return honestly(a)
			}
			a.honest.Records = []record.Record{old}
			return a.honest, nil, true
		})
		res, err := d.Resolve(t.Context(), bob.aor, directory.Options{Fresh: true})
		must(t, err)
		if res.Devices[0].Addrs[0].Port() != 5000 {
			t.Errorf("devices %+v", res.Devices)
		}
		if attacks.Load() < 3 || w.refused.of(directory.ReasonOldSequence) != 3 {
			t.Errorf("%d attacks, %d refused", attacks.Load(), w.refused.of(directory.ReasonOldSequence))
		}
	})
}

// G2: what is read is spread over the positions, read once while it is fresh,
// and logs name nobody, not even when they raise an alarm.
func TestMatrixG2LooksAreSpreadCachedAndNotLogged(t *testing.T) {
	asked := make(map[identity.NodeID]int)
	w0, s := stocked(t)
	bob := s.bob
	for range 30 {
		synctest.Test(t, func(t *testing.T) {
			w := w0.again(t, 40)
			d := w.directory(func(c *directory.Config) { c.Watch = -1 })
			for range 20 {
				_, err := d.Resolve(t.Context(), bob.aor, directory.Options{})
				must(t, err)
			}
			if n := w.ring.count(); n != 7 {
				t.Errorf("%d fetches for 20 calls", n)
			}
			for _, a := range w.ring.fetches {
				asked[a.pos]++
			}
		})
	}
	if len(asked) != 18 { // 10 + 4 + 4
		t.Errorf("only %d of 18 positions were ever asked", len(asked))
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 40)
		bob := w.enrol("bob", "")
		bob.put(bob.registration(4000))
		var attacks atomic.Int64
		equivocate(w, bob, 1, func(int) bool { return true }, &attacks)
		_, err := w.directory().Resolve(t.Context(), bob.aor, directory.Options{})
		wantErr(t, err, directory.ErrKeyConflict)
		if log := w.logs.String(); log == "" || strings.Contains(log, "bob") || attacks.Load() == 0 {
			t.Errorf("log: %s", log)
		}
	})
}

func TestEvidenceIsJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 40)
		s := collect(w)
		w.ring.lie(func(a ask) (directory.Answer, error, bool) {
			if a.part == nil || *a.part > 6 {
				return honestly(a)
			}
			a.honest.Records = s.mallorys[*a.part-1 : *a.part]
			return a.honest, nil, true
		})
		d := w.directory()
		res, err := d.Resolve(t.Context(), s.bob.aor, directory.Options{})
		must(t, err)
		for len(res.Evidence.Bad) == 0 { // the four honest ones may come first
			res, err = d.Resolve(t.Context(), s.bob.aor, directory.Options{Fresh: true})
			must(t, err)
		}
		b, err := json.Marshal(res)
		must(t, err)
		var back map[string]any
		must(t, json.Unmarshal(b, &back))
		e := back["evidence"].(map[string]any)
		if len(e["shares"].([]any)) != 4 || len(e["bad"].([]any)) == 0 || e["distinct_owners"].(float64) != 4 {
			t.Errorf("%s", b)
		}
		if bad := e["bad"].([]any)[0].(map[string]any); bad["reason"] != "other_name" || bad["holder"] == nil {
			t.Errorf("%v", bad)
		}
	})
}
