package bootstrap

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"

	"github.com/secp2psip/secp2psip/internal/identity"
)

// Restore makes a state folder out of a backup. It refuses a folder that has
// a state already, and a file that is no bootstrap server's backup.
func Restore(file, dir string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read the backup: %w", err)
	}
	if err := identity.MakeStateDir(dir); err != nil {
		return err
	}
	path := filepath.Join(dir, StateFile)
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s exists already: nothing is overwritten; move it away first or choose another folder with --state", path)
	}
	temp := path + ".restoring"
	if err := identity.WriteFileAtomic(temp, data, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", temp, err)
	}
	if err := checkBackup(temp); err != nil {
		return errors.Join(fmt.Errorf("%s is no backup of a bootstrap server: %w", file, err), os.Remove(temp))
	}
	return os.Rename(temp, path)
}

// checkBackup opens the file and reads the overlay in it.
func checkBackup(path string) (err error) {
	defer func() {
		if r := recover(); r != nil { // bbolt panics on some damaged files
			err = fmt.Errorf("it is damaged: %v", r)
		}
	}()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second, ReadOnly: true})
	if err != nil {
		return err
	}
	defer db.Close()
	return db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketMeta)
		if b == nil {
			return errors.New("it holds no overlay")
		}
		for err := range tx.Check() {
			return err
		}
		return new(overlay).read(b)
	})
}
