package record_test

import (
	"errors"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secp2psip/secp2psip/internal/record"
)

// limitFiles lets no file of this process grow beyond a size, as a full disk
// does: a write beyond it fails, with EFBIG in the place of ENOSPC.
func limitFiles(t *testing.T, size uint64) (lift func()) {
	t.Helper()
	signal.Ignore(syscall.SIGXFSZ)
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	set := func(cur uint64) {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: cur, Max: was.Max}); err != nil {
			t.Error(err)
		}
	}
	set(size)
	t.Cleanup(func() { set(was.Cur) })
	return func() { set(was.Cur) }
}

// TestStoreRecovers: on a disk that is really full every write fails and is
// said to have failed, what was written stays whole, and when there is room
// again Run writes all of it and the store is as good as before.
func TestStoreRecovers(t *testing.T) {
	w, h, c := newWorld(t, 1, nil), &hands{now: testNow}, &counter{}
	path := filepath.Join(t.TempDir(), "db")
	db := openDB(t, path, nil)
	s := w.diskStore(t, db, h, c)
	lift := limitFiles(t, 128<<10)
	safe, n := 0, 0
	for user := byte('a'); user <= 'z'; user++ {
		p := w.person(t, string(user), user)
		for x := range uint8(8) {
			put(t, s, p.shareRecord(t, x+1, 1), record.OutcomeStored)
			n++
			if err := s.Sync(); err == nil {
				safe = n
			} else if !errors.Is(err, record.ErrDisk) {
				t.Fatal(err)
			}
		}
	}
	if safe == 0 || safe == n || s.Failing() == nil || s.Stats().DiskError == "" || c.n["disk"] != 1 {
		t.Fatalf("%d of %d on disk, failing: %v, %+v, %v", safe, n, s.Failing(), s.Stats(), c.n)
	}
	for range 3 { // each attempt fails, and breaks nothing
		if err := s.Flush(); !errors.Is(err, record.ErrDisk) {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = openDB(t, path, nil)
	if got := len(w.diskStore(t, db, h, c).All()); got != safe {
		t.Errorf("%d records on the full disk, %d were vouched for", got, safe)
	}
	s = w.diskStore(t, db, h, c)
	p := w.person(t, "zoe", 'z'+1)
	for x := range uint8(8) {
		put(t, s, p.shareRecord(t, x+1, 1), record.OutcomeStored)
	}
	if s.Flush() == nil {
		t.Fatal("the disk is not full any more")
	}
	lift()
	synctest.Test(t, func(t *testing.T) {
		go s.Run(t.Context())
		<-time.After(6 * time.Second)
		synctest.Wait()
		if err := s.Failing(); err != nil || s.Stats().Unflushed > 0 {
			t.Errorf("with room again: %v, %+v", err, s.Stats())
		}
	})
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if got := len(w.diskStore(t, openDB(t, path, nil), h, c).All()); got != safe+8 {
		t.Errorf("%d records in the end, not %d", got, safe+8)
	}
	t.Logf("%d of %d records fitted; all %d there when there was room again", safe, n, safe+8)
}
