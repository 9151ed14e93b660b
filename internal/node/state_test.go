package node

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"
)

func testFile(t testing.TB) StateFile {
	return StateFile{
		Path: filepath.Join(t.TempDir(), "test.db"), Program: "tester", Mend: "mend it", Buckets: [][]byte{[]byte("a"), []byte("b")},
	}
}

// makeState writes a state file with something in it and returns its bytes.
func makeState(t testing.TB, f StateFile) []byte {
	t.Helper()
	db, err := OpenState(f)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range f.Buckets {
			if err := tx.Bucket(name).Put([]byte("key"), make([]byte, 10_000)); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(f.Path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestOpenState(t *testing.T) {
	f := testFile(t)
	makeState(t, f)
	db, err := OpenState(f)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := OpenState(f); !errors.Is(err, ErrStateInUse) || !strings.Contains(err.Error(), "another tester") {
		t.Errorf("a second program gets %v", err)
	}
}

// TestCheckStateAtEveryLength: a file that was cut short anywhere is found
// out, or is good to use.
func TestCheckStateAtEveryLength(t *testing.T) {
	f := testFile(t)
	whole := makeState(t, f)
	refused := 0
	for n := len(whole); n > 0; n -= 1021 {
		if err := os.WriteFile(f.Path, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		err := CheckState(f.Path)
		if err != nil {
			refused++
			if !errors.Is(err, ErrStateDamaged) {
				t.Fatalf("%d bytes: %v", n, err)
			}
			continue
		}
		db, err := OpenState(f)
		if err != nil {
			t.Fatalf("%d bytes pass the check, but: %v", n, err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if refused == 0 {
		t.Error("no length was refused")
	}
	if err := os.WriteFile(f.Path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(CheckState(f.Path), CheckState(f.Path+".missing")); err != nil {
		t.Errorf("a file that is none yet: %v", err)
	}
}

// TestChangedBytes: a state file in which single bytes were changed is refused
// with what to do, or is good to use.
func TestChangedBytes(t *testing.T) {
	f := testFile(t)
	whole := makeState(t, f)
	refused := 0
	for at := 0; at < len(whole); at += 211 {
		changed := testFile(t) // a new one: bbolt may keep its lock on a file at which it has panicked
		b := append([]byte(nil), whole...)
		b[at] ^= 1
		if err := os.WriteFile(changed.Path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		db, err := OpenState(changed)
		if err == nil {
			if err := db.Close(); err != nil {
				t.Errorf("byte %d: %v", at, err)
			}
			continue
		}
		refused++
		if !errors.Is(err, ErrStateDamaged) || !strings.Contains(err.Error(), changed.Path) || !strings.Contains(err.Error(), changed.Mend) {
			t.Errorf("byte %d: %v says not what and what to do", at, err)
		}
	}
	if refused == 0 {
		t.Error("nothing was refused")
	}
}
