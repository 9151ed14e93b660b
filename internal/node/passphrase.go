package node

import (
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/secp2psip/secp2psip/internal/seal"
)

// The passphrase of a state file that no daemon has open. Each change writes a
// whole new file beside the old one and renames it: after a crash at any moment
// one of the two is there, and either its keys are sealed or they are not. The
// freed pages of the old file, where keys may linger in the clear, go with it.

var (
	// ErrSealed: there is a passphrase already.
	ErrSealed = errors.New("the keys have a passphrase already")
	// ErrNotSealed: there is none.
	ErrNotSealed = errors.New("the keys have no passphrase")
)

// converting ends the name of the new file while it is written.
const converting = ".sealing"

// batchBytes is how much of a copy is in memory at once.
const batchBytes = 1 << 20

// SetPassphrase seals the secrets of a state file, or is ErrSealed.
func SetPassphrase(f StateFile, pass []byte, p seal.Params) error {
	db, err := OpenState(f)
	if err != nil {
		return err
	}
	if IsSealed(db) {
		return errors.Join(ErrSealed, db.Close())
	}
	box := seal.NewBox()
	header, err := box.Lock(pass, p, true)
	if err != nil {
		return errors.Join(err, db.Close())
	}
	if err := convert(db, f, &State{}, &State{nil, box, f.Secret}, header.Bytes()); err != nil {
		return err
	}
	if db, err = OpenState(f); err != nil {
		return err
	}
	return errors.Join(settle(db, f, box, pass, p), db.Close())
}

// ChangePassphrase puts the same keys under another passphrase. ErrNotSealed,
// seal.ErrPassphrase.
func ChangePassphrase(f StateFile, old, pass []byte, p seal.Params) error {
	db, box, err := openWith(f, old)
	if err != nil {
		return err
	}
	header, err := box.Lock(pass, p, false)
	if err != nil {
		return errors.Join(err, db.Close())
	}
	return convert(db, f, &State{}, &State{}, header.Bytes())
}

// RemovePassphrase puts the secrets in the clear. ErrNotSealed,
// seal.ErrPassphrase.
func RemovePassphrase(f StateFile, old []byte) error {
	db, box, err := openWith(f, old)
	if err != nil {
		return err
	}
	// From here on a crash leaves a folder that seals itself again.
	header, _, err := readHeader(db)
	if err == nil {
		err = writeHeader(db, box, old, header.Params, true)
	}
	for _, b := range f.Beside {
		if err == nil {
			err = convertBeside(f, b, box.OpenLine)
		}
	}
	if err != nil {
		return errors.Join(err, db.Close())
	}
	return convert(db, f, &State{nil, box, f.Secret}, &State{}, nil)
}

// CheckPassphrase tells whether the passphrase opens the file: ErrNotSealed,
// seal.ErrPassphrase.
func CheckPassphrase(f StateFile, pass []byte) error {
	db, _, err := openWith(f, pass)
	if err != nil {
		return err
	}
	return db.Close()
}

// openWith opens a sealed file, and finishes what a crash has broken off.
func openWith(f StateFile, pass []byte) (*bbolt.DB, *seal.Box, error) {
	db, err := OpenState(f)
	if err != nil {
		return nil, nil, err
	}
	header, sealed, err := readHeader(db)
	if err == nil && !sealed {
		err = ErrNotSealed
	}
	var box *seal.Box
	if err == nil {
		source := seal.Source{Configured: func() ([]byte, error) { return append([]byte(nil), pass...), nil }}
		box, err = unlock(db, f, header, source)
	}
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return db, box, nil
}

// convert replaces the state file by a copy whose secrets are kept as to does
// instead of from, with another header; nil: none. It closes db.
func convert(db *bbolt.DB, f StateFile, from, to *State, header []byte) error {
	if err := removeLeftovers(f.Path); err != nil {
		return errors.Join(err, db.Close())
	}
	temp := f.Path + converting
	err := copyConverted(db, temp, func(bucket, key, value []byte) ([]byte, error) {
		if string(bucket) == string(bucketHeader) && string(key) == string(keyHeader) {
			return nil, nil
		}
		plain, err := from.Open(bucket, key, value)
		if err != nil {
			return nil, err
		}
		return to.Seal(bucket, key, plain), nil
	}, header)
	if err = errors.Join(err, db.Close()); err != nil {
		return errors.Join(fmt.Errorf("rewrite %s: %w; nothing was changed; is the disk full?", f.Path, err), removeLeftovers(f.Path))
	}
	wipe := wiper(f.Path)
	if err := ReplaceFile(temp, f.Path); err != nil {
		wipe(false)
		return err
	}
	wipe(true)
	return nil
}

// copyConverted writes a new file in which no value ever stood otherwise than
// as value gives it; nil leaves it out.
func copyConverted(db *bbolt.DB, to string, value func(bucket, key, value []byte) ([]byte, error), header []byte) error {
	fresh, err := bbolt.Open(to, 0o600, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		return err
	}
	c := &copier{fresh: fresh, value: value}
	err = Guard(func() error {
		return db.View(func(tx *bbolt.Tx) error {
			err := tx.ForEach(func(name []byte, b *bbolt.Bucket) error { return c.bucket(name, b) })
			if err == nil && header != nil {
				err = c.put(bucketHeader, keyHeader, header)
			}
			return errors.Join(err, c.end(err == nil)) // while the values of tx are still there
		})
	})
	return errors.Join(err, c.end(false), fresh.Sync(), fresh.Close())
}

type copier struct {
	fresh *bbolt.DB
	value func(bucket, key, value []byte) ([]byte, error)
	tx    *bbolt.Tx
	bytes int
}

func (c *copier) bucket(name []byte, b *bbolt.Bucket) error {
	to, err := c.into(name)
	if err != nil {
		return err
	}
	if err := to.SetSequence(b.Sequence()); err != nil {
		return err
	}
	return b.ForEach(func(k, v []byte) error {
		if v == nil {
			return fmt.Errorf("%w: a bucket in the bucket %q", ErrStateDamaged, name)
		}
		v, err := c.value(name, k, v)
		if err != nil || v == nil {
			return err
		}
		return c.put(name, k, v)
	})
}

func (c *copier) put(bucket, key, value []byte) error {
	to, err := c.into(bucket)
	if err != nil {
		return err
	}
	if err := to.Put(key, value); err != nil {
		return err
	}
	if c.bytes += len(key) + len(value); c.bytes < batchBytes {
		return nil
	}
	return c.end(true)
}

// into returns the new bucket, in the transaction that is open.
func (c *copier) into(name []byte) (*bbolt.Bucket, error) {
	if c.tx == nil {
		var err error
		if c.tx, err = c.fresh.Begin(true); err != nil {
			return nil, err
		}
	}
	return c.tx.CreateBucketIfNotExists(name)
}

func (c *copier) end(good bool) (err error) {
	switch {
	case c.tx == nil:
	case good:
		err = c.tx.Commit()
	default:
		err = c.tx.Rollback()
	}
	c.tx, c.bytes = nil, 0
	return err
}
