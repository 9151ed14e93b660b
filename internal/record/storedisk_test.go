package record_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"

	"github.com/secp2psip/secp2psip/internal/record"
)

func openDB(t testing.TB, path string, opt *bbolt.Options) *bbolt.DB {
	t.Helper()
	if opt == nil {
		opt = &bbolt.Options{Timeout: 5 * time.Second}
	}
	db := must[*bbolt.DB](t)(bbolt.Open(path, 0o600, opt))
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func (w *world) diskStore(t testing.TB, db *bbolt.DB, h *hands, c *counter) *record.Store {
	t.Helper()
	return must[*record.Store](t)(record.OpenStore(record.StoreConfig{
		DB: db, Trust: w.freshTrust(t), Now: func() time.Time { return h.now },
		Monotonic: func() time.Duration { return h.mono }, Refused: c.add,
	}))
}

func TestStoreSurvivesRestart(t *testing.T) {
	w, h, c := newWorld(t, 1, nil), &hands{now: testNow}, &counter{}
	alice, bob := w.person(t, "alice", 20), w.person(t, "bob", 30)
	db := openDB(t, filepath.Join(t.TempDir(), "db"), nil)
	s := w.diskStore(t, db, h, c)
	put(t, s, alice.registration(t, 1, 5), record.OutcomeStored)
	put(t, s, alice.shareRecord(t, 1, 5), record.OutcomeStored)
	put(t, s, alice.shareRecord(t, 2, 5), record.OutcomeStored)
	put(t, s, bob.lookup(t, 5), record.OutcomeStored)
	put(t, s, bob.registration(t, 1, 9, tombstone), record.OutcomeStored)
	s.Drop(record.Resource(alice.aor, record.KindShare), record.KindShare, 2)
	if st := s.Stats(); st.Unflushed == 0 {
		t.Fatalf("%+v", st)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	before := s.Stats()
	if before.Unflushed != 0 || before.DiskError != "" {
		t.Fatalf("%+v", before)
	}

	h.run(10 * time.Minute)
	s = w.diskStore(t, db, h, c)
	if st := s.Stats(); st != before {
		t.Fatalf("%+v, was %+v", st, before)
	}
	if len(s.All()) != 4 {
		t.Fatal(len(s.All()))
	}
	h.run(6 * time.Minute) // both registrations end on the signed end, not anew
	if got := s.All(); len(got) != 2 {
		t.Fatal(len(got))
	}
	put(t, s, bob.registration(t, 1, 8, at(h.now)), record.OutcomeStored)

	h.now = h.now.AddDate(2, 0, 0)
	s = w.diskStore(t, db, h, c)
	if st := s.Stats(); st.Slots != 0 || st.Unflushed != 5-1 {
		t.Fatalf("what died while the node was down is there: %+v", st)
	}
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	if n := countKeys(t, db); n != 0 {
		t.Fatalf("%d keys on disk", n)
	}
}

// A board without a battery starts in the past, or not knowing the time: what
// it holds is not lost for that.
func TestStoreRestartInThePast(t *testing.T) {
	w, h := newWorld(t, 1, nil), &hands{now: testNow}
	alice := w.person(t, "alice", 20)
	db := openDB(t, filepath.Join(t.TempDir(), "db"), nil)
	s := w.diskStore(t, db, h, &counter{})
	put(t, s, alice.registration(t, 1, 5), record.OutcomeStored)
	put(t, s, alice.shareRecord(t, 1, 5), record.OutcomeStored)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, now := range []time.Time{time.Unix(5, 0), testNow.Add(-time.Hour), {}} {
		h.now, h.mono = now, 0
		s = w.diskStore(t, db, h, &counter{})
		if got := s.All(); len(got) != 2 {
			t.Fatalf("at %s: %d records", now, len(got))
		}
		h.run(900 * time.Second)
		if got := s.All(); len(got) != 1 {
			t.Fatalf("at %s: a registration outlives its lifetime: %d", now, len(got))
		}
	}
}

func countKeys(t *testing.T, db *bbolt.DB) (n int) {
	t.Helper()
	err := db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error {
			n += b.Stats().KeyN
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Whatever the disk holds, the store opens, and nothing unverified gets in.
func TestStoreBrokenDisk(t *testing.T) {
	w, h, c := newWorld(t, 1, nil), &hands{now: testNow}, &counter{}
	alice := w.person(t, "alice", 20)
	db := openDB(t, filepath.Join(t.TempDir(), "db"), nil)
	s := w.diskStore(t, db, h, c)
	put(t, s, alice.registration(t, 1, 5), record.OutcomeStored)
	put(t, s, alice.shareRecord(t, 1, 5), record.OutcomeStored)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	type kv struct{ k, v []byte }
	var good []kv
	err := db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("records")).ForEach(func(k, v []byte) error {
			good = append(good, kv{append([]byte(nil), k...), append([]byte(nil), v...)})
			return nil
		})
	})
	if err != nil || len(good) != 2 {
		t.Fatal(good, err)
	}
	write := func(k, v []byte) {
		t.Helper()
		if err := db.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte("records")).Put(k, v) }); err != nil {
			t.Fatal(err)
		}
	}
	write([]byte("junk"), []byte("junk"))
	write(make([]byte, 24), []byte("junk"))
	write(good[0].k, good[1].v) // a record in another's place
	flipped := append([]byte(nil), good[1].v...)
	flipped[100] ^= 1
	write(good[1].k, flipped)
	s = w.diskStore(t, db, h, c)
	if got := s.All(); len(got) != 0 {
		t.Fatalf("%d records from a broken disk", len(got))
	}
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	put(t, s, alice.registration(t, 1, 5), record.OutcomeStored)
}

// A crash loses at most what was not flushed, and leaves the file whole: a
// copy of it, taken while the store works, opens.
func TestStoreCrash(t *testing.T) {
	w, h, c := newWorld(t, 1, nil), &hands{now: testNow}, &counter{}
	alice := w.person(t, "alice", 20)
	dir := t.TempDir()
	path := filepath.Join(dir, "db")
	s := w.diskStore(t, openDB(t, path, nil), h, c)
	for seq := range uint64(5) {
		put(t, s, alice.registration(t, 1, seq+1), record.OutcomeStored)
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
		put(t, s, alice.registration(t, 2, seq+1), record.OutcomeStored) // not flushed
		crashed := filepath.Join(dir, "crashed")
		if err := os.WriteFile(crashed, must[[]byte](t)(os.ReadFile(path)), 0o600); err != nil {
			t.Fatal(err)
		}
		db := openDB(t, crashed, nil)
		after := w.diskStore(t, db, h, c)
		got := seqs(t, after.Get(record.Resource(alice.aor, record.KindRegistration), nil))
		if len(got) == 0 || got[0] != seq+1 || len(got) == 2 && got[1] != seq {
			t.Fatalf("after %d: %v", seq+1, got)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A disk that is full stops nothing: memory serves on, the state says so, and
// when there is room again everything is written.
func TestStoreFullDisk(t *testing.T) {
	w, h, c := newWorld(t, 1, nil), &hands{now: testNow}, &counter{}
	path := filepath.Join(t.TempDir(), "db")
	db := openDB(t, path, &bbolt.Options{Timeout: 5 * time.Second, MaxSize: 64 << 10, InitialMmapSize: 0, NoFreelistSync: true})
	s := w.diskStore(t, db, h, c)
	n := 0
	for user := byte('a'); user <= 'p'; user++ {
		p := w.person(t, string(user), user)
		for x := range uint8(8) {
			put(t, s, p.shareRecord(t, x+1, 1), record.OutcomeStored)
			n++
		}
		_ = s.Flush()
	}
	st := s.Stats()
	if st.DiskError == "" || st.Unflushed == 0 || c.n["disk"] == 0 {
		t.Fatalf("the disk was not full: %+v, %v", st, c.n)
	}
	if err := s.Flush(); err == nil || !strings.Contains(err.Error(), "cannot be written") {
		t.Fatal(err)
	}
	if len(s.All()) != n || st.Records != n {
		t.Fatal("memory lost records:", len(s.All()))
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Flush(); err == nil {
		t.Fatal("flushed into a closed file")
	}
	// The file is whole, with what fitted.
	db = openDB(t, path, nil)
	s = w.diskStore(t, db, h, c)
	if got := len(s.All()); got == 0 || got >= n {
		t.Fatalf("%d of %d records on a disk that was full", got, n)
	}
}

// Run flushes within a second or so and once more when it ends.
func TestStoreRunFlushes(t *testing.T) {
	w := newWorld(t, 1, nil)
	alice := w.person(t, "alice", 20)
	first, second := alice.registration(t, 1, 1), alice.registration(t, 1, 2)
	db := openDB(t, filepath.Join(t.TempDir(), "db"), nil)
	synctest.Test(t, func(t *testing.T) {
		s := must[*record.Store](t)(record.OpenStore(record.StoreConfig{
			DB: db, Trust: w.trust, Now: func() time.Time { return testNow },
		}))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		put(t, s, first, record.OutcomeStored)
		time.Sleep(1100 * time.Millisecond) // virtual
		synctest.Wait()
		if st := s.Stats(); st.Unflushed != 0 {
			t.Errorf("%+v", st)
		}
		put(t, s, second, record.OutcomeStored)
		cancel()
		if err := <-done; err != nil || s.Stats().Unflushed != 0 {
			t.Error(err, s.Stats())
		}
	})
}
