package record_test

import (
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
)

// hands are the clocks of one holder; both stand still unless moved.
type hands struct {
	now  time.Time
	mono time.Duration
}

func (h *hands) run(d time.Duration) {
	h.mono += d
	if !h.now.IsZero() {
		h.now = h.now.Add(d)
	}
}

type counter struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *counter) add(reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = make(map[string]int)
	}
	c.n[reason]++
}

func (w *world) store(t testing.TB, h *hands, c *counter) *record.Store {
	t.Helper()
	return must[*record.Store](t)(record.OpenStore(record.StoreConfig{
		Trust: w.trust, Now: func() time.Time { return h.now }, Monotonic: func() time.Duration { return h.mono }, Refused: c.add,
	}))
}

func put(t testing.TB, s *record.Store, r record.Record, want record.Outcome) {
	t.Helper()
	got, v, err := s.Put(r)
	if got != want || (err == nil) != want.Held() || (v == nil) != (want == record.OutcomeInvalid) {
		t.Fatalf("Put: %s, %v, %v; want %s", got, v, err, want)
	}
}

func seqs(t testing.TB, records []record.Record) (out []uint64) {
	t.Helper()
	for _, r := range records {
		b, err := r.Body()
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, b.Seq)
	}
	return out
}

func TestStoreRules(t *testing.T) {
	w, h, c := newWorld(t, 1, nil), &hands{now: testNow}, &counter{}
	alice := w.person(t, "alice", 20)
	s := w.store(t, h, c)
	res := record.Resource(alice.aor, record.KindRegistration)

	put(t, s, alice.registration(t, 1, 5), record.OutcomeStored)
	put(t, s, alice.registration(t, 1, 5), record.OutcomeSame)
	put(t, s, alice.registration(t, 1, 5, func(b *record.Body) { b.Lifetime = 600 }), record.OutcomeConflict)
	put(t, s, alice.registration(t, 1, 4), record.OutcomeStale)
	put(t, s, alice.registration(t, 2, 1), record.OutcomeStored)
	put(t, s, alice.registration(t, 1, 6), record.OutcomeStored)
	put(t, s, alice.registration(t, 1, 7, tombstone), record.OutcomeStored)
	put(t, s, alice.registration(t, 1, 6), record.OutcomeStale)
	put(t, s, alice.registration(t, 1, 8, at(testNow.Add(10*time.Minute))), record.OutcomeInvalid)
	put(t, s, record.Record{}, record.OutcomeInvalid)
	put(t, s, newWorld(t, 60, nil).person(t, "alice", 20).registration(t, 1, 9), record.OutcomeInvalid)

	if got := fmt.Sprint(seqs(t, s.Get(res, nil))); got != "[7 1]" {
		t.Fatal(got)
	}
	one := uint64(1)
	if got := fmt.Sprint(seqs(t, s.Get(res, &one))); got != "[7]" {
		t.Fatal(got)
	}
	if got, ok := s.Seq(res, 1); got != 7 || !ok {
		t.Fatal(got, ok)
	}
	want := map[string]int{"conflict": 1, "stale": 2, "future": 1, "malformed": 1, "untrusted": 1}
	if !maps.Equal(c.n, want) {
		t.Fatalf("counted %v, want %v", c.n, want)
	}
	if st := s.Stats(); st.Records != 2 || st.Slots != 2 || st.Owners != 1 || st.Conflicts != 1 || st.Bytes == 0 {
		t.Fatalf("%+v", st)
	}
	s.Drop(res, record.KindShare, 1)
	s.Drop(res, record.KindRegistration, 1)
	s.Drop(res, record.KindRegistration, 99)
	if got := s.All(); len(got) != 1 || len(s.Get(res, nil)) != 1 {
		t.Fatal(len(got))
	}
	s.Drop(res, record.KindRegistration, 2)
	if st := s.Stats(); st.Records != 0 || st.Owners != 0 || st.Bytes != 0 {
		t.Fatalf("%+v", st)
	}
}

// Lifetimes count on the monotonic clock: a clock that is set does nothing.
func TestStoreExpiry(t *testing.T) {
	w, h := newWorld(t, 1, nil), &hands{now: testNow}
	alice := w.person(t, "alice", 20)
	s := w.store(t, h, &counter{})
	res := record.Resource(alice.aor, record.KindRegistration)
	put(t, s, alice.registration(t, 1, 5), record.OutcomeStored)
	h.now = testNow.AddDate(3, 0, 0)
	if len(s.Get(res, nil)) != 1 {
		t.Fatal("gone because the clock was set")
	}
	h.now = testNow
	h.run(899 * time.Second)
	if len(s.Get(res, nil)) != 1 {
		t.Fatal("gone too early")
	}
	h.run(time.Second)
	if len(s.Get(res, nil)) != 0 || len(s.All()) != 0 {
		t.Fatal("not gone")
	}
	// One that is old on arrival lives until its signed end only.
	h.now, h.mono = testNow.Add(600*time.Second), 0
	s = w.store(t, h, &counter{})
	put(t, s, alice.registration(t, 1, 5), record.OutcomeStored)
	h.run(299 * time.Second)
	if len(s.Get(res, nil)) != 1 {
		t.Fatal("gone too early")
	}
	h.run(2 * time.Second)
	if len(s.Get(res, nil)) != 0 {
		t.Fatal("not gone")
	}
	// While the time is unknown, a lifetime counts from arrival.
	h.now = time.Time{}
	s = w.store(t, h, &counter{})
	put(t, s, alice.registration(t, 1, 5), record.OutcomeStored)
	h.run(900 * time.Second)
	if len(s.Get(res, nil)) != 0 {
		t.Fatal("not gone")
	}
	// Shares outlive their signed end by the charter's grace.
	h.now = testNow
	put(t, s, alice.shareRecord(t, 1, 5), record.OutcomeStored)
	h.run(90*day + grace - time.Second)
	if len(s.All()) != 1 {
		t.Fatal("a share has no grace")
	}
	h.run(2 * time.Second)
	if len(s.All()) != 0 {
		t.Fatal("not gone")
	}
}

// An attacker has seen all of alice's records and replays them to a holder
// whenever it likes: at once, after the newer one has expired, after a
// restart. None comes back.
func TestMatrixD2ReplaysRefused(t *testing.T) {
	w, h := newWorld(t, 1, nil), &hands{now: testNow}
	alice := w.person(t, "alice", 20)
	c := &counter{}
	db := openDB(t, t.TempDir()+"/db", nil)
	open := func() *record.Store {
		return must[*record.Store](t)(record.OpenStore(record.StoreConfig{
			DB: db, Trust: w.freshTrust(t), Now: func() time.Time { return h.now }, Monotonic: func() time.Duration { return h.mono }, Refused: c.add,
		}))
	}
	s := open()
	res := record.Resource(alice.aor, record.KindRegistration)
	old := alice.registration(t, 1, 5)                                                          // valid for 15 minutes
	newer := alice.registration(t, 1, 6, func(b *record.Body) { b.Lifetime = 60 })              // for one
	deleted := alice.registration(t, 1, 7, tombstone, func(b *record.Body) { b.Lifetime = 30 }) // for half
	for _, r := range []record.Record{old, newer, deleted} {
		put(t, s, r, record.OutcomeStored)
	}
	attacks := 0
	attack := func(when string) {
		t.Helper()
		for _, r := range []record.Record{old, newer} {
			if o, _, err := s.Put(r); o.Held() || err == nil {
				t.Fatalf("%s: %s", when, o)
			}
			attacks++
		}
		for _, r := range s.Get(res, nil) {
			if b, err := r.Body(); err != nil || !b.Tombstone {
				t.Fatalf("%s: rolled back to %d", when, b.Seq)
			}
		}
	}
	attack("at once")
	h.run(31 * time.Second)
	attack("after the tombstone has expired")
	if o, _, _ := s.Put(deleted); o.Held() {
		t.Fatal("an expired tombstone came back")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open()
	attack("after a restart")
	h.run(5 * time.Minute)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open()
	attack("after another")
	h.run(10 * time.Minute) // now the oldest's own signed end is over
	if o, _, err := s.Put(old); o != record.OutcomeInvalid || !errors.Is(err, identity.ErrExpired) {
		t.Fatal(o, err)
	}
	put(t, s, alice.registration(t, 1, 8, at(h.now)), record.OutcomeStored)
	if attacks == 0 || c.n["stale"]+c.n["expired"] < attacks {
		t.Fatal("no attack happened:", attacks, c.n)
	}
	t.Logf("matrix: D2 replays that rolled a holder back: 0 of %d", attacks)
}

// An issuer that certifies a second key for a name cannot push it over the
// first, in any kind of record, nor by deleting the first.
func TestStoreKeyConflict(t *testing.T) {
	w, h, c := newWorld(t, 1, nil), &hands{now: testNow}, &counter{}
	alice, fake := w.person(t, "alice", 20), w.person(t, "alice", 40)
	s := w.store(t, h, c)
	put(t, s, alice.shareRecord(t, 1, 5), record.OutcomeStored)
	for _, r := range []record.Record{
		fake.shareRecord(t, 1, 9), fake.shareRecord(t, 2, 9), fake.lookup(t, 9), fake.registration(t, 1, 9),
	} {
		put(t, s, r, record.OutcomeKeyConflict)
	}
	put(t, s, alice.shareRecord(t, 1, 10, tombstone), record.OutcomeStored)
	put(t, s, fake.shareRecord(t, 1, 11), record.OutcomeKeyConflict)
	put(t, s, alice.shareRecord(t, 1, 12), record.OutcomeStored)
	if st := s.Stats(); st.KeyConflicts != 5 || c.n["key_conflict"] != 5 {
		t.Fatalf("%+v, %v", st, c.n)
	}
	// When nothing of the first is valid any more, the name is free.
	h.run(90*day + grace + time.Second)
	put(t, s, fake.shareRecord(t, 1, 1, at(h.now)), record.OutcomeStored)
}

// A member floods a holder under many parts, and many members fill it.
func TestMatrixD7StoreBounded(t *testing.T) {
	const limit = 128 << 10
	w := newWorld(t, 1, func(c *identity.Charter) { c.StoreBytes, c.OwnerBytes = limit, 16<<10 })
	h, c := &hands{now: testNow}, &counter{}
	s := w.store(t, h, c)
	small := w.person(t, "small", 10)
	put(t, s, small.registration(t, 1, 1), record.OutcomeStored)

	mallory := w.person(t, "mallory", 11)
	flood, refused := 300, 0
	for part := range flood {
		o, _, err := s.Put(mallory.registration(t, uint64(part), 1))
		if o == record.OutcomeQuota && errors.Is(err, record.ErrQuota) {
			refused++
		} else if o != record.OutcomeStored {
			t.Fatal(o, err)
		}
	}
	if held := flood - refused; held > int(w.charter.OwnerRecords) || held < 5 || c.n["owner_quota"] != refused {
		t.Fatalf("one owner holds %d of %d, counted %v", held, flood, c.n)
	}
	// Who is at the limit can still renew what it has.
	put(t, s, mallory.registration(t, 0, 2), record.OutcomeStored)

	for n := range 40 {
		p := w.person(t, fmt.Sprintf("m%d", n), byte(60+n))
		for part := range 12 {
			_, _, _ = s.Put(p.registration(t, uint64(part), 1))
			if st := s.Stats(); st.Bytes > limit {
				t.Fatalf("%d bytes", st.Bytes)
			}
		}
	}
	st := s.Stats()
	if st.Evicted == 0 || uint64(c.n["evicted"]) != st.Evicted || st.Bytes < limit/2 {
		t.Fatalf("%+v, %v", st, c.n)
	}
	if len(s.Get(record.Resource(small.aor, record.KindRegistration), nil)) != 1 {
		t.Fatal("the smallest owner's record went, not the largest's")
	}
	t.Logf("matrix: D7 one owner's flood of %d: %d kept; 480 stores of 40 owners: %d of %d bytes held", flood, flood-refused, st.Bytes, limit)
}

// One holder may have all that a person has on the ring: of two keys while one
// follows the other, with as many devices and rotations as there may be.
func TestStoreQuotaHoldsAPersonInASmallRing(t *testing.T) {
	w, h := newWorld(t, 1, nil), &hands{now: testNow}
	alice, c := w.person(t, "alice", 20), &counter{}
	s := w.store(t, h, c)
	for seq := range uint64(identity.MaxRotations + 2) {
		if seq > 0 {
			alice = alice.rotated(t, byte(20+seq))
		}
		for _, r := range alice.batch(t, seq+1) {
			put(t, s, r, record.OutcomeStored)
		}
		for part := range w.charter.MaxDevices {
			put(t, s, alice.registration(t, uint64(part), seq+1), record.OutcomeStored)
		}
	}
	st := s.Stats()
	if want := int(w.charter.N) + int(w.charter.MaxDevices) + 2; st.Owners != 1 || st.Evicted != 0 || st.Records != want {
		t.Fatalf("%+v, want %d records", st, want)
	}
	t.Logf("%d records of one person: %d of %d bytes", st.Records, st.Bytes, w.charter.OwnerBytes)
}

// Each record shows at each of its places in the arc, and nowhere else.
func TestStoreBetween(t *testing.T) {
	w, h := newWorld(t, 1, nil), &hands{now: testNow}
	s := w.store(t, h, &counter{})
	var all []record.Placed
	for i, user := range []string{"alice", "bob", "carol"} {
		p := w.person(t, user, byte(20+i))
		for _, r := range []record.Record{p.registration(t, 1, 1), p.lookup(t, 1), p.shareRecord(t, 1, 1), p.shareRecord(t, 10, 1)} {
			put(t, s, r, record.OutcomeStored)
			b := must[record.Body](t)(r.Body())
			places := record.PositionsOf(b, w.charter)
			if want := map[bool]int{true: 1, false: 4}[b.Kind == record.KindShare]; len(places) != want {
				t.Fatal(b.Kind, places)
			}
			for _, pos := range places {
				all = append(all, record.Placed{Position: pos, Record: r})
			}
		}
	}
	key := func(p record.Placed) string { return p.Position.String() + string(p.Record.Signed) }
	rapid.Check(t, func(rt *rapid.T) {
		end := func(label string) identity.NodeID {
			id := all[rapid.IntRange(0, len(all)-1).Draw(rt, label)].Position // at a place, or beside it
			return id.Add(identity.NodeID{15: rapid.SampledFrom([]byte{0, 1}).Draw(rt, label+"+")})
		}
		from, to := end("from"), end("to")
		want := map[string]bool{}
		for _, p := range all {
			if inArc(p.Position, from, to) {
				want[key(p)] = true
			}
		}
		got := map[string]bool{}
		for _, p := range s.Between(from, to, w.charter) {
			if got[key(p)] {
				rt.Fatal("a place twice")
			}
			got[key(p)] = true
		}
		if !maps.Equal(got, want) {
			rt.Fatalf("(%s, %s]: %d places, want %d", from, to, len(got), len(want))
		}
	})
}

// inArc says it the plain way: x in (from, to] on the circle.
func inArc(x, from, to identity.NodeID) bool {
	if from.Compare(to) < 0 {
		return from.Compare(x) < 0 && x.Compare(to) <= 0
	}
	return from.Compare(x) < 0 || x.Compare(to) <= 0
}

func TestPlacesGolden(t *testing.T) {
	alice := must[identity.AOR](t)(identity.NewAOR("alice", "lan.example"))
	res := record.Resource(alice, record.KindRegistration)
	if res.String() != "d638dc193452eeb6939d08478e8a9741" {
		t.Fatal(res)
	}
	for i, want := range []string{
		"d638dc193452eeb6939d08478e8a9741", "1638dc193452eeb6939d08478e8a9741",
		"5638dc193452eeb6939d08478e8a9741", "9638dc193452eeb6939d08478e8a9741",
	} {
		if got := record.Position(res, i, 4); got.String() != want {
			t.Errorf("place %d: %s", i, got)
		}
	}
	c := identity.DefaultCharter("lan.example", identity.PublicKey{1}, testNow)
	for part, n := range map[uint64]int{0: 0, 1: 1, 10: 1, 11: 0, 1 << 63: 0} {
		b := record.Body{AOR: alice.String(), Kind: record.KindShare, Part: part}
		if got := record.PositionsOf(b, c); len(got) != n {
			t.Errorf("share %d: %v", part, got)
		}
	}
}

// slotModel is the store as one would write it on paper, without quotas.
type slotModel struct {
	seq     uint64
	payload string
	due     time.Duration
	floor   time.Duration
}
