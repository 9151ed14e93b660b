package record_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/secp2psip/secp2psip/internal/canon"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
)

// Random records of two people arrive at random times; the store agrees with
// the model at every step.
func TestStoreAgainstModel(t *testing.T) {
	w := newWorld(t, 1, nil)
	people := []*person{w.person(t, "alice", 20), w.person(t, "bob", 30)}
	made := map[string]record.Record{}
	rapid.Check(t, func(rt *rapid.T) {
		h := &hands{now: testNow}
		s := w.store(t, h, &counter{})
		model := map[string]*slotModel{}
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			who := rapid.IntRange(0, 1).Draw(rt, "who")
			part := rapid.Uint64Range(1, 2).Draw(rt, "part")
			key := fmt.Sprint(who, part)
			m := model[key]
			if m != nil && m.floor <= h.mono {
				delete(model, key)
				m = nil
			}
			if rapid.IntRange(0, 3).Draw(rt, "what") == 0 {
				h.run(time.Duration(rapid.IntRange(1, 200).Draw(rt, "s")) * time.Second)
			} else {
				seq := rapid.Uint64Range(1, 4).Draw(rt, "seq")
				life := rapid.SampledFrom([]uint32{100, 900}).Draw(rt, "life")
				dead := rapid.Bool().Draw(rt, "tombstone")
				id := fmt.Sprint(key, seq, life, dead)
				r, ok := made[id]
				if !ok {
					edit := func(b *record.Body) { b.Lifetime = life }
					if dead {
						r = people[who].registration(t, part, seq, edit, tombstone)
					} else {
						r = people[who].registration(t, part, seq, edit)
					}
					made[id] = r
				}
				end := time.Duration(life) * time.Second // all are signed at mono 0
				want := record.OutcomeStored
				switch {
				case h.mono > end:
					want = record.OutcomeInvalid
				case m == nil || seq > m.seq:
				case seq < m.seq || m.due <= h.mono:
					want = record.OutcomeStale
				case m.payload == id:
					want = record.OutcomeSame
				default:
					want = record.OutcomeConflict
				}
				if want == record.OutcomeStored {
					n := &slotModel{seq: seq, payload: id, due: end, floor: end}
					if m != nil {
						n.floor = max(n.floor, m.floor)
					}
					model[key] = n
				}
				if got, _, err := s.Put(r); got != want {
					rt.Fatalf("%s at %s: %s, %v; want %s", id, h.mono, got, err, want)
				}
			}
			checkModel(rt, s, h, people, model)
		}
	})
}

func checkModel(t *rapid.T, s *record.Store, h *hands, people []*person, model map[string]*slotModel) {
	live := 0
	for who, p := range people {
		for part := range uint64(3) {
			got := s.Get(record.Resource(p.aor, record.KindRegistration), &part)
			m := model[fmt.Sprint(who, part)]
			if m == nil || m.due <= h.mono {
				if len(got) != 0 {
					t.Fatalf("%s %d is there", p.aor, part)
				}
				continue
			}
			live++
			if b, err := got[0].Body(); len(got) != 1 || err != nil || b.Seq != m.seq {
				t.Fatalf("%s %d: %d records, seq %d, want %d", p.aor, part, len(got), b.Seq, m.seq)
			}
		}
	}
	if got := len(s.All()); got != live {
		t.Fatalf("%d records, want %d", got, live)
	}
}

// Run lets the dead go and ends when told.
func TestStoreRun(t *testing.T) {
	w := newWorld(t, 1, nil)
	alice := w.person(t, "alice", 20)
	reg := alice.registration(t, 1, 5, func(b *record.Body) { b.Lifetime = 60 })
	long := alice.registration(t, 1, 4)
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := must[*record.Store](t)(record.OpenStore(record.StoreConfig{
			Trust: w.trust, Now: func() time.Time { return testNow.Add(time.Since(start)) },
		}))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		put(t, s, long, record.OutcomeStored)
		put(t, s, reg, record.OutcomeStored)
		for _, c := range []struct {
			after          time.Duration
			records, slots int
		}{{30 * time.Second, 1, 1}, {32 * time.Second, 0, 1}, {900 * time.Second, 0, 0}} {
			time.Sleep(c.after) // virtual
			synctest.Wait()
			if st := s.Stats(); st.Records != c.records || st.Slots != c.slots {
				t.Errorf("after %s: %+v", time.Since(start), st)
			}
		}
		if st := s.Stats(); st.Bytes != 0 || st.Owners != 0 {
			t.Errorf("%+v", st)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// Many peers store and read at once.
func TestStoreConcurrent(t *testing.T) {
	w, h := newWorld(t, 1, nil), &hands{now: testNow}
	s := w.store(t, h, &counter{})
	alice := w.person(t, "alice", 20)
	var records []record.Record
	for seq := range uint64(8) {
		records = append(records, alice.registration(t, seq%2, seq+1))
	}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range records {
				_, _, _ = s.Put(records[(i+j)%len(records)])
				s.Get(record.Resource(alice.aor, record.KindRegistration), nil)
				s.Between(identity.NodeID{}, identity.NodeID{}, w.charter)
				s.Stats()
			}
		})
	}
	all.Wait()
	if got := fmt.Sprint(seqs(t, s.Get(record.Resource(alice.aor, record.KindRegistration), nil))); got != "[7 8]" {
		t.Fatal(got)
	}
}

func TestOpenStoreNeedsTrust(t *testing.T) {
	if _, err := record.OpenStore(record.StoreConfig{}); err == nil {
		t.Fatal("opened")
	}
}

// A renewed charter changes the quotas at once.
func TestStoreSetTrust(t *testing.T) {
	w, h := newWorld(t, 1, nil), &hands{now: testNow}
	s := w.store(t, h, &counter{})
	alice := w.person(t, "alice", 20)
	put(t, s, alice.registration(t, 1, 1), record.OutcomeStored)
	narrow := w.charter
	narrow.Seq, narrow.OwnerBytes = 2, 4<<10
	s.SetTrust(must[*identity.Trust](t)(identity.NewTrust(w.rootDER, narrow)))
	put(t, s, alice.registration(t, 2, 1), record.OutcomeStored)
	put(t, s, alice.registration(t, 3, 1), record.OutcomeStored)
	put(t, s, alice.registration(t, 4, 1), record.OutcomeQuota)
}

func TestOutcomeString(t *testing.T) {
	for o, want := range map[record.Outcome]string{0: "unknown", 1: "stored", 5: "key_conflict", 7: "invalid", 200: "unknown"} {
		if o.String() != want {
			t.Errorf("%d: %s", uint8(o), o)
		}
	}
	if b, err := canon.Marshal(record.OutcomeStored); err != nil || len(b) != 1 {
		t.Fatal(b, err)
	}
}
