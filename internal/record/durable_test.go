package record_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/record"
)

// childFile tells the test's own program, run again, to store records in that
// file until it is killed.
const childFile = "RECORD_CHILD_FILE"

// TestKilled: what Sync has vouched for is there after a kill in the middle of
// the work, several writers at a time, and the file is whole.
func TestKilled(t *testing.T) {
	if path := os.Getenv(childFile); path != "" {
		storeUntilKilled(t, path)
		return
	}
	const seed, kills = 6, 4
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	path := filepath.Join(t.TempDir(), "db")
	w, h := newWorld(t, 1, nil), &hands{now: testNow}
	vouched := map[uint64]uint64{} // sequence by part
	for range kills {
		child := exec.Command(os.Args[0], "-test.run=^TestKilled$")
		child.Env = append(os.Environ(), childFile+"="+path)
		out := must[interface {
			Read([]byte) (int, error)
			Close() error
		}](t)(child.StdoutPipe())
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for left := 1 + rng.IntN(60); left > 0 && lines.Scan(); {
			var part, seq uint64
			if _, err := fmt.Sscanf(lines.Text(), "vouched %d %d", &part, &seq); err == nil {
				vouched[part] = max(vouched[part], seq)
				left--
			}
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() { // written before it died
			var part, seq uint64
			if _, err := fmt.Sscanf(lines.Text(), "vouched %d %d", &part, &seq); err == nil {
				vouched[part] = max(vouched[part], seq)
			}
		}
		if err := child.Wait(); err == nil {
			t.Fatal("the child ended by itself")
		}
		db := openDB(t, path, nil)
		s := w.diskStore(t, db, h, &counter{})
		for part, seq := range vouched {
			if got, _ := s.Seq(record.Resource(w.person(t, "alice", 20).aor, record.KindRegistration), part); got < seq {
				t.Errorf("part %d: sequence %d was vouched for, %d is there", part, seq, got)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(vouched) < 4 {
		t.Errorf("only %v was vouched for", vouched)
	}
	t.Logf("%d kills; vouched for: %v", kills, vouched)
}

// storeUntilKilled goes on from what the file holds.
func storeUntilKilled(t *testing.T, path string) {
	w, h := newWorld(t, 1, nil), &hands{now: testNow}
	alice := w.person(t, "alice", 20)
	s := w.diskStore(t, openDB(t, path, nil), h, &counter{})
	var writers sync.WaitGroup
	for part := range uint64(4) {
		writers.Go(func() {
			seq, _ := s.Seq(record.Resource(alice.aor, record.KindRegistration), part)
			for {
				seq++
				if o, _, err := s.Put(alice.registration(t, part, seq)); o != record.OutcomeStored {
					fmt.Println("not stored:", o, err)
					return
				}
				if err := s.Sync(); err != nil {
					fmt.Println("not on disk:", err)
					return
				}
				_, _ = os.Stdout.WriteString("vouched " + strconv.FormatUint(part, 10) + " " + strconv.FormatUint(seq, 10) + "\n")
			}
		})
	}
	writers.Wait()
}

// TestSyncShares: callers of Sync at the same time share transactions, and one
// that comes when all is written makes none.
func TestSyncShares(t *testing.T) {
	w, h := newWorld(t, 1, nil), &hands{now: testNow}
	db := openDB(t, filepath.Join(t.TempDir(), "db"), nil)
	s := w.diskStore(t, db, h, &counter{})
	alice := w.person(t, "alice", 20)
	const crowd = 16
	recs := make([]record.Record, crowd)
	for i := range recs {
		recs[i] = alice.registration(t, uint64(i), 1)
	}
	writes := func() int64 { st := db.Stats(); return st.TxStats.GetWrite() }
	before := writes()
	var group sync.WaitGroup
	for _, r := range recs {
		group.Go(func() {
			if _, _, err := s.Put(r); err != nil {
				t.Error(err)
			}
			if err := s.Sync(); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	after := writes()
	if err := s.Sync(); err != nil || s.Stats().Unflushed > 0 {
		t.Errorf("%v, %+v", err, s.Stats())
	}
	if more := writes() - after; more > 0 {
		t.Errorf("%d writes with nothing to write", more)
	}
	t.Logf("%d records at once: %d page writes", crowd, after-before)
}

// BenchmarkSync is what waiting for the disk costs a holder.
func BenchmarkSync(b *testing.B) {
	w, h := newWorld(b, 1, nil), &hands{now: testNow}
	s := w.diskStore(b, openDB(b, filepath.Join(b.TempDir(), "db"), nil), h, &counter{})
	alice := w.person(b, "alice", 20)
	var recs []record.Record
	for i := range 256 {
		recs = append(recs, alice.registration(b, uint64(i%16), uint64(i+1), at(testNow.Add(time.Duration(i)*time.Millisecond))))
	}
	b.ResetTimer()
	for i := 0; b.Loop(); i++ {
		if i%len(recs) == 0 { // sequence numbers only rise
			b.StopTimer()
			s = w.diskStore(b, openDB(b, filepath.Join(b.TempDir(), strconv.Itoa(i)), nil), h, &counter{})
			b.StartTimer()
		}
		if _, _, err := s.Put(recs[i%len(recs)]); err != nil {
			b.Fatal(err)
		}
		if err := s.Sync(); err != nil {
			b.Fatal(err)
		}
	}
}
