package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"

	"github.com/secp2psip/secp2psip/internal/identity"
)

// StateFile says how to open a state file and what to tell a person when that
// does not work.
type StateFile struct {
	Path    string
	Program string   // that has it open where it is in use: "adapter"
	Mend    string   // what to do where it is damaged
	Buckets [][]byte // made where missing

	Secret func(bucket, key []byte) bool // values that a passphrase seals
	Beside []Beside                      // files that it seals, too
}

// OpenState opens a state file, making it where it is missing. It reads all of
// it once, so that what a broken disk or a copy that was cut short has left is
// found now and not in the middle of the work. Errors: ErrStateInUse,
// ErrStateDamaged, identity.ErrUnsafeFile where others could read or replace
// it, or the operating system's.
func OpenState(f StateFile) (*bbolt.DB, error) {
	if err := identity.CheckSecretFile(f.Path); err != nil {
		return nil, err
	}
	if err := CheckState(f.Path); errors.Is(err, ErrStateDamaged) {
		return nil, fmt.Errorf("%w; %s", err, f.Mend)
	}
	var db *bbolt.DB
	err := Guard(func() (err error) {
		if db, err = bbolt.Open(f.Path, 0o600, &bbolt.Options{Timeout: time.Second}); err != nil {
			return err
		}
		if err := db.View(Verify); err != nil {
			return err
		}
		return db.Update(func(tx *bbolt.Tx) error { return makeBuckets(tx, f.Buckets) })
	})
	switch {
	case errors.Is(err, bbolterrors.ErrTimeout):
		return nil, fmt.Errorf("%w: another %s runs on %s; stop it or choose another folder with --state", ErrStateInUse, f.Program, f.Path)
	case errors.Is(err, bbolterrors.ErrInvalid), errors.Is(err, bbolterrors.ErrChecksum), errors.Is(err, bbolterrors.ErrVersionMismatch):
		err = fmt.Errorf("%w: %w", ErrStateDamaged, err)
	}
	if err == nil {
		return db, nil
	}
	if db != nil {
		_ = Guard(db.Close)
	}
	if errors.Is(err, ErrStateDamaged) {
		return nil, fmt.Errorf("%s: %w; %s", f.Path, err, f.Mend)
	}
	return nil, fmt.Errorf("open the state file %s: %w; is the folder writable and the disk not full?", f.Path, err)
}

func makeBuckets(tx *bbolt.Tx, names [][]byte) error {
	for _, name := range names {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	return nil
}

// Guard makes an error of what bbolt panics about in a damaged file, and of
// the fault that reading beyond a file's end is.
func Guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", ErrStateDamaged, r)
		}
	}()
	return f()
}

// Verify reads every key and value and checks that the pages fit together. It
// is to be called within Guard.
func Verify(tx *bbolt.Tx) error {
	if err := tx.ForEach(func(_ []byte, b *bbolt.Bucket) error { return readBucket(b, 0) }); err != nil {
		return err
	}
	var damage error
	for err := range tx.Check() { // to its end: it reads in a goroutine
		if damage == nil {
			damage = fmt.Errorf("%w: %w", ErrStateDamaged, err)
		}
	}
	return damage
}

// maxDepth bounds buckets in buckets; a damaged file could nest without end.
const maxDepth = 4

func readBucket(b *bbolt.Bucket, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%w: buckets without end", ErrStateDamaged)
	}
	sum := fnv.New32a()
	return b.ForEach(func(k, v []byte) error {
		if v == nil {
			return readBucket(b.Bucket(k), depth+1)
		}
		_, _ = sum.Write(k)
		_, _ = sum.Write(v)
		return nil
	})
}

// The head of a bbolt file: two pages, each a page header of 16 bytes and then,
// in the machine's byte order,
//
//	magic u32, version u32, page size u32, flags u32, root page u64,
//	sequence u64, free list u64, number of pages u64, transaction u64,
//	checksum u64 (FNV-1a of the 56 bytes before)
//
// of which the valid one with the higher transaction counts.
const (
	metaAt      = 16
	metaLen     = 64
	metaMagic   = 0xED0CDAED
	minPageSize = 1 << 10
	maxPageSize = 1 << 16
)

// CheckState looks whether a file has the head of a state file and is as long
// as it says; bbolt would crash on one that was cut short. A file that is
// missing or empty is none yet, and fine.
func CheckState(path string) error {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || info.Size() == 0 {
		return err
	}
	head := make([]byte, maxPageSize+metaAt+metaLen)
	n, err := file.ReadAt(head, 0)
	if n == 0 && err != nil {
		return err
	}
	pages, size, ok := newestMeta(head[:n])
	switch {
	case !ok:
		return fmt.Errorf("%w: %s is no state file", ErrStateDamaged, path)
	case uint64(info.Size())/size < pages:
		return fmt.Errorf("%w: %s is cut short: %d bytes of %d", ErrStateDamaged, path, info.Size(), pages*size)
	}
	return nil
}

func newestMeta(head []byte) (pages, size uint64, ok bool) {
	newest := uint64(0)
	try := func(at uint64) {
		p, s, tx, valid := readMeta(head, at)
		if valid && (!ok || tx > newest) && (at == 0 || s == at) {
			pages, size, newest, ok = p, s, tx, true
		}
	}
	try(0)
	for s := uint64(minPageSize); s <= maxPageSize; s *= 2 {
		try(s)
	}
	return pages, size, ok
}

func readMeta(head []byte, at uint64) (pages, size, tx uint64, ok bool) {
	at += metaAt
	if uint64(len(head)) < at+metaLen {
		return 0, 0, 0, false
	}
	m := head[at : at+metaLen]
	order := binary.NativeEndian
	sum := fnv.New64a()
	_, _ = sum.Write(m[:metaLen-8])
	size = uint64(order.Uint32(m[8:]))
	ok = order.Uint32(m) == metaMagic && order.Uint64(m[metaLen-8:]) == sum.Sum64() && size >= minPageSize && size <= maxPageSize
	return order.Uint64(m[40:]), size, order.Uint64(m[48:]), ok
}

// ReplaceFile puts temp, which is complete and flushed, in the place of path:
// after a crash at any moment one of the two is there, whole.
func ReplaceFile(temp, path string) error {
	if err := os.Rename(temp, path); err != nil {
		_ = os.Remove(temp)
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	_ = dir.Sync() // not every system can
	return nil
}
