package identity

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxSecretFile bounds what ReadSecretFile reads, in bytes.
const maxSecretFile = 1 << 20

// LoadOrCreateKey reads the key in the file at path, or makes one and writes
// it there with mode 0600. It never overwrites: of two processes that create
// at once, one reads the other's. It refuses what ReadSecretFile refuses.
func LoadOrCreateKey(path string) (key PrivateKey, created bool, err error) {
	key, err = loadKey(path)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return key, false, err
	}
	key, err = GenerateKey()
	if err != nil {
		return PrivateKey{}, false, err
	}
	err = createFileAtomic(path, []byte(key.Secret()+"\n"), 0o600)
	if errors.Is(err, fs.ErrExist) {
		key, err = loadKey(path)
		return key, false, err
	}
	if err != nil {
		return PrivateKey{}, false, err
	}
	return key, true, nil
}

func loadKey(path string) (PrivateKey, error) {
	b, err := ReadSecretFile(path)
	if err != nil {
		return PrivateKey{}, err
	}
	key, err := ParsePrivateKey(strings.TrimSpace(string(b)))
	if err != nil {
		return PrivateKey{}, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}

// ReadSecretFile reads at most 1 MiB from a file that only its owner, who runs
// this program, can read or write. A symbolic link, another's file or a mode
// beyond 0600 is ErrUnsafeFile. On Windows only the link is checked; the
// folder's access list must do the rest.
func ReadSecretFile(path string) ([]byte, error) {
	f, err := openNoFollow(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s is not a regular file; move it away", ErrUnsafeFile, path)
	}
	if err := checkPrivate(path, info, "chmod 600"); err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxSecretFile {
		return nil, fmt.Errorf("%w: %s has more than %d bytes", ErrMalformed, path, maxSecretFile)
	}
	return b, nil
}

// CheckSecretFile looks whether the file at path is one that ReadSecretFile
// would read, but for its length. One that is missing is fine.
func CheckSecretFile(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&fs.ModeSymlink != 0:
		return symlinked(path)
	case !info.Mode().IsRegular():
		return fmt.Errorf("%w: %s is not a regular file; move it away", ErrUnsafeFile, path)
	}
	return checkPrivate(path, info, "chmod 600")
}

// symlinked refuses a link: who may write beside it would choose what it is.
func symlinked(path string) error {
	return fmt.Errorf("%w: %s is a symbolic link; put what it points to in its place, or name that itself", ErrUnsafeFile, path)
}

// MakeStateDir makes the folder at path, and the missing ones above it, with
// mode 0700. An existing folder must be no symbolic link, belong to who runs
// this program and be closed to others, or ErrUnsafeFile tells so; an empty
// one of ours is closed.
func MakeStateDir(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	err := os.Mkdir(path, 0o700)
	if err == nil {
		return nil
	}
	info, statErr := os.Lstat(path)
	if statErr != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		return symlinked(path)
	}
	if !info.IsDir() {
		return fmt.Errorf("%w: %s is not a folder; move it away", ErrUnsafeFile, path)
	}
	unsafe := checkPrivate(path, info, "chmod 700")
	if unsafe == nil {
		return nil
	}
	entries, err := os.ReadDir(path)
	if err != nil || len(entries) > 0 || !ownedByUs(info) {
		return unsafe
	}
	return os.Chmod(path, 0o700) // #nosec G302 -- a folder
}

// WriteFileAtomic replaces the file at path by data, so that a crash at any
// moment leaves the old file or the new. It does not follow a symbolic link at
// path but replaces it.
func WriteFileAtomic(path string, data []byte, perm fs.FileMode) error {
	temp, err := writeTemp(path, data, perm)
	if err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		_ = os.Remove(temp)
		return err
	}
	return syncDir(filepath.Dir(path))
}

// createFileAtomic is WriteFileAtomic that fails with fs.ErrExist where there
// is a file already.
func createFileAtomic(path string, data []byte, perm fs.FileMode) error {
	temp, err := writeTemp(path, data, perm)
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temp) }()
	if err := os.Link(temp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// writeTemp writes data to a new file beside path, flushed to the disk.
func writeTemp(path string, data []byte, perm fs.FileMode) (name string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.tmp") // 0600, O_EXCL
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(perm)
	}
	if err == nil {
		err = f.Sync()
	}
	return f.Name(), errors.Join(err, f.Close())
}
