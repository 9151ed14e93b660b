package node

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"go.etcd.io/bbolt"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/seal"
)

// Where a state file keeps the header of its keys, if they are sealed. The
// header is in the file itself, so that one rename changes all of it.
var (
	bucketHeader = []byte("meta")
	keyHeader    = []byte("seal")
)

// Beside is a file beside the state file that is sealed with it, under its
// name up to the first dot as the context.
type Beside struct {
	Name  string
	Lines bool // each line by itself, else all as one
}

// State is an open state file and the box of its secrets.
type State struct {
	DB     *bbolt.DB
	Box    *seal.Box // nil: all is in the clear
	secret func(bucket, key []byte) bool
}

// Seal returns a value as the file is to hold it.
func (s *State) Seal(bucket, key, value []byte) []byte {
	if s.Box == nil || !s.secret(bucket, key) {
		return value
	}
	return s.Box.Seal(sealContext(bucket, key), value)
}

// Open returns a value that the file holds, or seal.ErrAltered.
func (s *State) Open(bucket, key, value []byte) ([]byte, error) {
	if s.Box == nil || !s.secret(bucket, key) {
		return value, nil
	}
	return s.Box.Open(sealContext(bucket, key), value)
}

func sealContext(bucket, key []byte) string { return fmt.Sprintf("state %q %q", bucket, key) }

// OpenSealed is OpenState of a file whose secrets may be sealed. It asks the
// source for the passphrase if they are; where they are not and the source has
// one configured, it seals them. Errors: those of OpenState,
// identity.ErrUnsafeFile, seal.ErrLocked, seal.ErrPassphrase,
// seal.ErrAltered, and those of the source.
func OpenSealed(f StateFile, source seal.Source) (*State, error) {
	db, err := OpenState(f)
	if err != nil {
		return nil, err
	}
	if err := removeLeftovers(f.Path); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	header, sealed, err := readHeader(db)
	switch {
	case err != nil:
		return nil, errors.Join(fmt.Errorf("%s: %w; %s", f.Path, err, f.Mend), db.Close())
	case sealed:
		box, err := unlock(db, f, header, source)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", f.Path, err), db.Close())
		}
		return &State{db, box, f.Secret}, nil
	case source.Configured == nil:
		return &State{db, nil, f.Secret}, nil
	}
	if err := db.Close(); err != nil {
		return nil, err
	}
	pass, err := source.Configured()
	if err != nil {
		return nil, err
	}
	if err := SetPassphrase(f, pass, source.Cost()); err != nil {
		return nil, err
	}
	return OpenSealed(f, source)
}

// unlock opens the header, and finishes the sealing that a crash has broken off.
func unlock(db *bbolt.DB, f StateFile, header seal.Header, source seal.Source) (*seal.Box, error) {
	pass, err := source.Passphrase()
	if err != nil {
		return nil, err
	}
	defer clear(pass)
	box, err := header.Unlock(pass)
	if err != nil || !header.Settling {
		return box, err
	}
	return box, settle(db, f, box, pass, header.Params)
}

// settle seals the files beside and writes down that it is done.
func settle(db *bbolt.DB, f StateFile, box *seal.Box, pass []byte, p seal.Params) error {
	for _, b := range f.Beside {
		if err := convertBeside(f, b, func(context string, line []byte) ([]byte, error) {
			if seal.Sealed(line) {
				return line, nil
			}
			return box.SealLine(context, line), nil
		}); err != nil {
			return err
		}
	}
	return writeHeader(db, box, pass, p, false)
}

func writeHeader(db *bbolt.DB, box *seal.Box, pass []byte, p seal.Params, settling bool) error {
	header, err := box.Lock(pass, p, settling)
	if err != nil {
		return err
	}
	return db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bucketHeader).Put(keyHeader, header.Bytes()) })
}

func readHeader(db *bbolt.DB) (h seal.Header, sealed bool, err error) {
	err = db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketHeader)
		if b == nil {
			return nil
		}
		text := b.Get(keyHeader)
		if text == nil {
			return nil
		}
		sealed = true
		h, err = seal.ParseHeader(text)
		return err
	})
	return h, sealed, err
}

// IsSealed tells whether an open state file needs a passphrase.
func IsSealed(db *bbolt.DB) bool {
	_, sealed, err := readHeader(db)
	return sealed || err != nil
}

// convertBeside rewrites a file by its lines; one that is missing stays so.
func convertBeside(f StateFile, b Beside, line func(context string, line []byte) ([]byte, error)) error {
	path := filepath.Join(filepath.Dir(f.Path), b.Name)
	if err := identity.CheckSecretFile(path); err != nil {
		return err
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(data) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	lines := [][]byte{bytes.TrimSuffix(data, []byte("\n"))}
	if b.Lines {
		lines = bytes.Split(lines[0], []byte("\n"))
	}
	context, _, _ := strings.Cut(b.Name, ".") // calls.1.jsonl was calls.jsonl once
	var out []byte
	for _, text := range lines {
		text, err := line(context, text)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		out = append(append(out, text...), '\n')
	}
	if bytes.Equal(out, data) {
		return nil
	}
	wipe := wiper(path)
	if err := identity.WriteFileAtomic(path, out, 0o600); err != nil {
		wipe(false)
		return fmt.Errorf("write %s: %w; is the disk full?", path, err)
	}
	wipe(true)
	return nil
}

// removeLeftovers deletes what a crash in the middle of a rewriting has left:
// it may hold keys in the clear. The caller has the state file open, so nobody
// else is rewriting anything here.
func removeLeftovers(path string) error {
	dir, base := filepath.Split(path)
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		temp := strings.HasPrefix(name, ".") && strings.HasSuffix(name, ".tmp") // of WriteFileAtomic
		if !temp && name != base+converting && name != base+".compact" && !strings.HasPrefix(name, "."+base+".") {
			continue
		}
		wipe := wiper(dir + name)
		err := os.Remove(dir + name)
		wipe(err == nil)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
