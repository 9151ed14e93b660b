package bootstrap

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/node"
)

// Backup writes a consistent copy of the state file, keys included: without
// the freed pages, which may hold a root key that was moved away.
func (s *Server) Backup(w io.Writer) error {
	temp, err := os.CreateTemp(s.cfg.State, "."+StateFile+".*.backup") // 0600
	if err != nil {
		return fmt.Errorf("make room for the backup: %w", err)
	}
	defer os.Remove(temp.Name())
	if err := temp.Close(); err != nil {
		return err
	}
	if err := copyState(s.db, temp.Name()); err != nil {
		return fmt.Errorf("copy the state: %w; is the disk full?", err)
	}
	copied, err := os.Open(temp.Name())
	if err != nil {
		return err
	}
	defer copied.Close()
	_, err = io.Copy(w, copied)
	return err
}

// Restore makes a state folder out of a backup. It refuses a folder that has
// a state already, and a file that is no bootstrap server's backup.
func Restore(file, dir string) error {
	from, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("read the backup: %w", err)
	}
	defer from.Close()
	if err := node.CheckState(file); err != nil {
		return fmt.Errorf("%s is no backup of a bootstrap server: %w", file, err)
	}
	if err := identity.MakeStateDir(dir); err != nil {
		return err
	}
	path := filepath.Join(dir, StateFile)
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s exists already: nothing is overwritten; move it away first or choose another folder with --state", path)
	}
	temp, err := os.CreateTemp(dir, "."+StateFile+".*.restoring") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, err = io.Copy(temp, from)
	if err := errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return fmt.Errorf("write %s: %w; is the disk full?", temp.Name(), err)
	}
	if err := checkBackup(temp.Name()); err != nil {
		return fmt.Errorf("%s is no backup of a bootstrap server: %w", file, err)
	}
	return node.ReplaceFile(temp.Name(), path)
}

// checkBackup opens the file and reads the overlay in it.
func checkBackup(path string) error {
	return node.Guard(func() error {
		db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second, ReadOnly: true})
		if err != nil {
			return err
		}
		defer db.Close()
		return db.View(func(tx *bbolt.Tx) error {
			if err := node.Verify(tx); err != nil {
				return err
			}
			b := tx.Bucket(bucketMeta)
			if b == nil {
				return errors.New("it holds no overlay")
			}
			o := &overlay{rootCert: b.Get(metaRootCert)}
			charter := identity.SignedCharter(b.Get(metaCharter))
			o.charter.Store(&charter)
			if !node.IsSealed(db) { // else who starts it shows whether the keys are there
				if err := o.read(&node.State{DB: db}, b); err != nil {
					return err
				}
			}
			_, err := o.trust()
			return err
		})
	})
}
