package directory_test

import (
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
)

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
		t.Logf("matrix: D2 replays of an old registration believed: 0 of %d", w.refused.of(directory.ReasonOldSequence))
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
	for range 80 {
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
	t.Logf("matrix: G2 fetches for 20 calls: 7, positions asked by 80 callers: %d of 18, names in the logs: 0", len(asked))
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
