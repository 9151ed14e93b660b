package identity_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/secp2psip/secp2psip/internal/identity"
)

func TestLoadOrCreateKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node.key")
	key, created, err := identity.LoadOrCreateKey(path)
	if err != nil || !created {
		t.Fatal(created, err)
	}
	again, created, err := identity.LoadOrCreateKey(path)
	if err != nil || created || !again.Equal(key) {
		t.Fatal(created, err)
	}
	onlyFile(t, path)
	if err := os.WriteFile(path, []byte("not a key\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := identity.LoadOrCreateKey(path); !errors.Is(err, identity.ErrMalformed) || !strings.Contains(err.Error(), path) {
		t.Fatal(err)
	}
	if got := string(must(os.ReadFile(path))(t)); got != "not a key\n" {
		t.Fatal("a broken key file was overwritten")
	}
}

// Two programs that start at once end with one key.
func TestLoadOrCreateKeyRace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node.key")
	keys := make([]identity.PrivateKey, 8)
	var all sync.WaitGroup
	for i := range keys {
		all.Go(func() {
			var err error
			if keys[i], _, err = identity.LoadOrCreateKey(path); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, k := range keys {
		if !k.Equal(keys[0]) {
			t.Fatal("two keys")
		}
	}
	onlyFile(t, path)
}

// onlyFile checks that path is alone in its folder, with mode 0600.
func onlyFile(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 || entries[0].Name() != filepath.Base(path) {
		t.Fatal(entries, err)
	}
	info := must(entries[0].Info())(t)
	if runtime.GOOS != "windows" && info.Mode() != 0o600 {
		t.Fatalf("mode %o", info.Mode())
	}
}

func TestWriteFileAtomic(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state")
	for _, text := range []string{"one", "two"} {
		if err := identity.WriteFileAtomic(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := string(must(os.ReadFile(path))(t)); got != text {
			t.Fatal(got)
		}
	}
	onlyFile(t, path)
	if err := identity.WriteFileAtomic(filepath.Join(dir, "missing", "state"), nil, 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	// A name that is taken by a folder: the write fails and leaves nothing.
	if err := os.MkdirAll(filepath.Join(dir, "folder", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := identity.WriteFileAtomic(filepath.Join(dir, "folder"), []byte("x"), 0o600); err == nil {
		t.Fatal("replaced a folder")
	}
	if entries := must(os.ReadDir(dir))(t); len(entries) != 2 {
		t.Fatal(entries)
	}
}
