package node

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/seal"
)

const (
	secretText = "p2psip-key1 in the clear"
	contact    = "sip:bob@lan.example"
)

func cheapSeal() seal.Params { return seal.Params{Passes: 1, Memory: 64, Lanes: 1} }

// vaultFolder is a folder with a secret, a public value, a file of pins and one
// of calls, all in the clear.
func vaultFolder(t *testing.T) StateFile {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state")
	if err := identity.MakeStateDir(dir); err != nil {
		t.Fatal(err)
	}
	f := StateFile{
		Path: filepath.Join(dir, "x.db"), Program: "test", Buckets: [][]byte{[]byte("meta"), []byte("records")},
		Secret: func(bucket, _ []byte) bool { return string(bucket) == "meta" },
		Beside: []Beside{{Name: "pins"}, {Name: "calls.jsonl", Lines: true}, {Name: "calls.1.jsonl", Lines: true}},
	}
	s, err := OpenSealed(f, seal.Source{})
	if err != nil {
		t.Fatal(err)
	}
	err = s.DB.Update(func(tx *bbolt.Tx) error {
		for _, kv := range [][2]string{{"meta", secretText}, {"records", "public"}} {
			b := tx.Bucket([]byte(kv[0]))
			if err := errors.Join(b.Put([]byte("k"), s.Seal([]byte(kv[0]), []byte("k"), []byte(kv[1]))), b.SetSequence(7)); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, s.DB.Close()); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"pins": contact + "\nsecond\n", "calls.jsonl": "{\"to\":\"" + contact + "\"}\n{}\n", "calls.1.jsonl": contact + "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

func given(phrase string) seal.Source {
	return seal.Source{Configured: func() ([]byte, error) { return []byte(phrase), nil }, Params: cheapSeal()}
}

// holds tells which of the texts some file of the folder shows.
func holds(t *testing.T, f StateFile, texts ...string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Dir(f.Path), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		for _, text := range texts {
			if bytes.Contains(data, []byte(text)) {
				found = append(found, filepath.Base(path)+": "+text)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// wantSecret opens the folder and compares what it holds.
func wantSecret(t *testing.T, f StateFile, source seal.Source) {
	t.Helper()
	s, err := OpenSealed(f, source)
	if err != nil {
		t.Fatal(err)
	}
	defer s.DB.Close()
	err = s.DB.View(func(tx *bbolt.Tx) error {
		for bucket, want := range map[string]string{"meta": secretText, "records": "public"} {
			b := tx.Bucket([]byte(bucket))
			got, err := s.Open([]byte(bucket), []byte("k"), b.Get([]byte("k")))
			if err != nil || string(got) != want || b.Sequence() != 7 {
				t.Errorf("%s: %q, %v, sequence %d", bucket, got, err, b.Sequence())
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestPassphraseSetChangedRemoved(t *testing.T) {
	f := vaultFolder(t)
	if err := SetPassphrase(f, []byte("first phrase"), cheapSeal()); err != nil {
		t.Fatal(err)
	}
	if found := holds(t, f, secretText, contact, "second"); found != nil {
		t.Errorf("in the clear yet: %v", found)
	}
	if _, err := OpenSealed(f, seal.Source{}); !errors.Is(err, seal.ErrLocked) {
		t.Errorf("without a passphrase: %v", err)
	}
	if _, err := OpenSealed(f, given("other phrase")); !errors.Is(err, seal.ErrPassphrase) {
		t.Errorf("with another: %v", err)
	}
	if err := SetPassphrase(f, []byte("other phrase"), cheapSeal()); !errors.Is(err, ErrSealed) {
		t.Errorf("set again: %v", err)
	}
	wantSecret(t, f, given("first phrase"))

	if err := ChangePassphrase(f, []byte("wrong phrase"), []byte("other phrase"), cheapSeal()); !errors.Is(err, seal.ErrPassphrase) {
		t.Errorf("changed with a wrong one: %v", err)
	}
	if err := ChangePassphrase(f, []byte("first phrase"), []byte("other phrase"), cheapSeal()); err != nil {
		t.Fatal(err)
	}
	if err := CheckPassphrase(f, []byte("first phrase")); !errors.Is(err, seal.ErrPassphrase) {
		t.Errorf("the old one: %v", err)
	}
	wantSecret(t, f, given("other phrase"))

	if err := RemovePassphrase(f, []byte("other phrase")); err != nil {
		t.Fatal(err)
	}
	wantSecret(t, f, seal.Source{})
	if got := len(holds(t, f, secretText, contact)); got != 4 {
		t.Errorf("%d things in the clear, want 4", got)
	}
	if err := errors.Join(CheckPassphrase(f, []byte("other phrase")), nil); !errors.Is(err, ErrNotSealed) {
		t.Error(err)
	}
}

// A passphrase that is configured seals what lies in the clear, at the start.
func TestConfiguredPassphraseSeals(t *testing.T) {
	f := vaultFolder(t)
	wantSecret(t, f, given("first phrase"))
	if found := holds(t, f, secretText, contact); found != nil {
		t.Errorf("in the clear yet: %v", found)
	}
}

// A power cut between the state file and the files beside it: the next start
// finishes. What lay in the clear on the way is gone.
func TestPowerCutWhileSealing(t *testing.T) {
	f := vaultFolder(t)
	db, err := OpenState(f)
	if err != nil {
		t.Fatal(err)
	}
	box := seal.NewBox()
	header, err := box.Lock([]byte("first phrase"), cheapSeal(), true)
	if err != nil {
		t.Fatal(err)
	}
	if err := convert(db, f, &State{}, &State{nil, box, f.Secret}, header.Bytes()); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(f.Path)
	for _, name := range []string{"x.db.sealing", "x.db.compact", ".x.db.1.backup", ".pins.2.tmp"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(secretText), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if len(holds(t, f, secretText, contact)) != 7 {
		t.Fatal("the power cut left nothing")
	}
	wantSecret(t, f, given("first phrase"))
	if found := holds(t, f, secretText, contact); found != nil {
		t.Errorf("in the clear yet: %v", found)
	}
}

// While no room is on the disk, or a file beside is somebody else's, the old
// state stays.
func TestFailedSealingChangesNothing(t *testing.T) {
	f := vaultFolder(t)
	if err := os.Mkdir(f.Path+converting, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(f.Path+converting, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := SetPassphrase(f, []byte("first phrase"), cheapSeal()); err == nil {
		t.Fatal("sealed, without room for the new file")
	}
	if err := os.RemoveAll(f.Path + converting); err != nil {
		t.Fatal(err)
	}
	wantSecret(t, f, seal.Source{})
}

// Files that others could read, or have put there, are refused with the mend.
func TestUnsafeStateFiles(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil func(f StateFile) error
		mend  string
	}{
		"mode": {func(f StateFile) error { return os.Chmod(f.Path, 0o640) }, "chmod 600"},
		"symlink": {func(f StateFile) error {
			return errors.Join(os.Rename(f.Path, f.Path+"x"), os.Symlink(f.Path+"x", f.Path))
		}, "put what it points to"},
		"folder": {func(f StateFile) error { return errors.Join(os.Remove(f.Path), os.Mkdir(f.Path, 0o700)) }, "move it away"},
	} {
		f := vaultFolder(t)
		if err := tt.spoil(f); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenSealed(f, seal.Source{}); !errors.Is(err, identity.ErrUnsafeFile) || !strings.Contains(err.Error(), tt.mend) {
			t.Errorf("%s: %v", name, err)
		}
	}
	dir := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(t.TempDir(), dir); err != nil {
		t.Fatal(err)
	}
	if err := identity.MakeStateDir(dir); !errors.Is(err, identity.ErrUnsafeFile) || !strings.Contains(err.Error(), "symbolic link") {
		t.Errorf("a folder that is a link: %v", err)
	}
}
