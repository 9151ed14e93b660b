//go:build unix

package identity_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/secp2psip/secp2psip/internal/identity"
)

// Another user of the machine who can read a secret, or put one under our
// feet, must be noticed.
func TestReadSecretFileRefuses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	if err := os.WriteFile(path, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := identity.ReadSecretFile(path); err != nil || string(b) != "secret" {
		t.Fatal(b, err)
	}
	for _, mode := range []fs.FileMode{0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o666} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := identity.ReadSecretFile(path); !errors.Is(err, identity.ErrUnsafeFile) {
			t.Errorf("mode %o: %v", mode, err)
		}
		if _, _, err := identity.LoadOrCreateKey(path); !errors.Is(err, identity.ErrUnsafeFile) {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	dangling := filepath.Join(dir, "dangling")
	if err := os.Symlink(filepath.Join(dir, "nowhere"), dangling); err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{link, dangling, pipe, dir} {
		if _, err := identity.ReadSecretFile(p); !errors.Is(err, identity.ErrUnsafeFile) {
			t.Errorf("%s: %v", filepath.Base(p), err)
		}
	}
	if _, created, err := identity.LoadOrCreateKey(dangling); !errors.Is(err, identity.ErrUnsafeFile) || created {
		t.Error("a key made through a dangling link:", err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(path, 12345, -1); err != nil {
			t.Fatal(err)
		}
		if _, err := identity.ReadSecretFile(path); !errors.Is(err, identity.ErrUnsafeFile) {
			t.Error("another user's file:", err)
		}
	}
	big := filepath.Join(dir, "big")
	if err := os.WriteFile(big, bytes.Repeat([]byte("x"), 1<<20+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := identity.ReadSecretFile(big); !errors.Is(err, identity.ErrMalformed) {
		t.Error("big:", err)
	}
}

func TestWriteFileAtomicReplacesLink(t *testing.T) {
	dir := t.TempDir()
	victim, link := filepath.Join(dir, "victim"), filepath.Join(dir, "link")
	if err := errors.Join(os.WriteFile(victim, []byte("v"), 0o600), os.Symlink(victim, link)); err != nil {
		t.Fatal(err)
	}
	if err := identity.WriteFileAtomic(link, []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := string(must(os.ReadFile(victim))(t)); got != "v" {
		t.Fatal("wrote through the link")
	}
}

func TestMakeStateDir(t *testing.T) {
	base := t.TempDir()
	mode := func(path string) fs.FileMode { return must(os.Lstat(path))(t).Mode().Perm() }

	fresh := filepath.Join(base, "a", "b")
	for range 2 {
		if err := identity.MakeStateDir(fresh); err != nil || mode(fresh) != 0o700 {
			t.Fatal(mode(fresh), err)
		}
	}
	open := filepath.Join(base, "open")
	if err := os.Mkdir(open, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := identity.MakeStateDir(open); err != nil || mode(open) != 0o700 {
		t.Fatal("an empty folder is closed:", mode(open), err)
	}
	if err := errors.Join(os.WriteFile(filepath.Join(open, "x"), nil, 0o600), os.Chmod(open, 0o750)); err != nil {
		t.Fatal(err)
	}
	if err := identity.MakeStateDir(open); !errors.Is(err, identity.ErrUnsafeFile) || mode(open) != 0o750 {
		t.Fatal("a folder in use is left alone:", mode(open), err)
	}
	link, file := filepath.Join(base, "link"), filepath.Join(base, "file")
	if err := errors.Join(os.Symlink(fresh, link), os.WriteFile(file, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{link, file} {
		if err := identity.MakeStateDir(p); !errors.Is(err, identity.ErrUnsafeFile) {
			t.Errorf("%s: %v", p, err)
		}
	}
	if err := identity.MakeStateDir(filepath.Join(file, "x")); err == nil {
		t.Error("a folder in a file")
	}
}
