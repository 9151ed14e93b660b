package bootstrap

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/node"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/seal"
)

// StateFile is the one file in the state folder that holds everything a
// bootstrap server must remember.
const StateFile = "bootstrap.db"

// The buckets of the state file. That of the people counts in its sequence
// how many there are.
var (
	bucketMeta        = []byte("meta")        // name → value, see the keys below
	bucketPeople      = []byte("people")      // user part → JSON of person
	bucketNumbers     = []byte("numbers")     // number → user part
	bucketInvitations = []byte("invitations") // SHA-256 of the secret → JSON of invitation
	bucketNodes       = []byte("nodes")       // node key → JSON of nodeEntry
	bucketSources     = []byte("sources")     // IP address or /64 → how many names it enrolled in open mode
	bucketPosted      = []byte("posted")      // ID → JSON of identity.Bulletin that the issuing key has signed
)

// The keys of bucketMeta.
var (
	metaCharter    = []byte("charter")     // identity.SignedCharter
	metaRootKey    = []byte("root key")    // text form; absent while the root is offline
	metaRootCert   = []byte("root cert")   // DER
	metaIssuerKey  = []byte("issuer key")  // text form
	metaIssuerCert = []byte("issuer cert") // DER
	metaNodeKey    = []byte("node key")    // text form
	metaReplaced   = []byte("replaced")    // JSON: when the issuing key before the present one was revoked, Unix ms; absent if none was
	metaRetired    = []byte("retired")     // JSON of retired; absent unless an issuing key is to be revoked
	metaCompact    = []byte("compact")     // present: rewrite the file at the next start
	metaSlotKey    = []byte("slot key")    // 32 random bytes: Node-IDs are drawn from it
)

// secretKeys are those whose values a passphrase seals.
func secretKeys() [][]byte { return [][]byte{metaRootKey, metaIssuerKey, metaNodeKey, metaSlotKey} }

// pinsFile holds the keys of the people seen.
const pinsFile = "pins"

// device is one admitted device of a person.
type device struct {
	Slot     int                // which of the person's permanent Node-IDs, and its part of the registration
	Node     identity.NodeID    // where it runs
	NodeKey  identity.PublicKey // the key of the running program
	Device   identity.PublicKey // the key that signs calls
	Admitted time.Time
	Addrs    []string // last seen at, so that a first device can be asked to admit a second
	Pending  bool     `json:",omitempty"` // the first device has not agreed yet
}

// nodeEntry is one running program that was given a place on the ring. It
// belongs to the first person it served; others whom it serves later share it.
type nodeEntry struct {
	ID      identity.NodeID
	Owner   identity.OwnerTag
	Open    int  // names it enrolled in open mode
	Pending bool `json:",omitempty"` // it was not given a certificate yet
}

// person is one enrolled name.
type person struct {
	User      string
	Number    string `json:",omitempty"`
	Account   identity.PublicKey
	Version   uint32 // of the account key
	Dealing   uint64
	Owner     identity.OwnerTag
	Enrolled  time.Time
	Renewed   time.Time
	Revoked   time.Time           `json:",omitzero"`  // zero unless it is
	Rotated   time.Time           `json:",omitzero"`  // when the account key was changed last
	Rotations []identity.Rotation `json:",omitempty"` // that led to it, the oldest first
	Cert      []byte              // account certificate, DER
	Shares    []record.Record
	Lookup    record.Record
	Alias     *record.Record `json:",omitempty"` // of the number
	Devices   []device
	Kept      []int `json:",omitempty"` // slots whose node was not revoked with the device, since it serves others: nobody gets its Node-ID
}

// records are what the ring stores of a person.
func (p *person) records() []record.Record {
	shares := slices.Clone(p.Shares)
	if len(p.Rotations) > 0 {
		shares = record.WithAccount(shares, p.Cert)
	}
	all := append(shares, p.Lookup)
	if p.Alias != nil {
		all = append(all, *p.Alias)
	}
	return all
}

// invitation admits devices of one person; only the hash of its secret is kept.
type invitation struct {
	User    string
	Number  string `json:",omitempty"`
	Devices int
	Used    []identity.PublicKey // node keys that redeemed it: asking again is not another use
	Made    time.Time
	Expires time.Time
	Recover bool `json:",omitempty"` // it gives the name another key
}

// open tells whether it admits somebody yet.
func (i *invitation) open(now time.Time) bool {
	return len(i.Used) < i.Devices && now.Before(i.Expires)
}

// openState opens the state file, creating folder and file where they are missing.
func openState(dir string, source seal.Source) (*node.State, error) {
	if err := identity.MakeStateDir(dir); err != nil {
		return nil, fmt.Errorf("make the state folder: %w", err)
	}
	f := State(dir)
	file, err := node.OpenSealed(f, source)
	if err != nil {
		return nil, err
	}
	asked, err := compactAsked(file.DB)
	if err != nil {
		return nil, errors.Join(err, file.DB.Close())
	}
	if !asked {
		return file, nil
	}
	if err := rewrite(file.DB, f.Path); err != nil {
		return nil, fmt.Errorf("rewrite %s without the root key: %w; make room on the disk and start again", f.Path, err)
	}
	file.DB, err = node.OpenState(f)
	return file, err
}

// State describes the state file in a folder, for who opens it or gives it a
// passphrase, which seals the server's keys. Who is enrolled is no secret of
// the server's: a certificate says so.
func State(dir string) node.StateFile {
	return node.StateFile{
		Secret: func(bucket, key []byte) bool {
			return string(bucket) == string(bucketMeta) && slices.ContainsFunc(secretKeys(), func(k []byte) bool { return string(k) == string(key) })
		},
		Beside: []node.Beside{{Name: pinsFile}},
		Path:   filepath.Join(dir, StateFile), Program: "bootstrap server",
		Mend:    "move the file away and bring a backup back with 'secp2psip restore FILE'",
		Buckets: [][]byte{bucketMeta, bucketPeople, bucketNumbers, bucketInvitations, bucketNodes, bucketSources, bucketPosted},
	}
}

func compactAsked(db *bbolt.DB) (asked bool, err error) {
	err = db.View(func(tx *bbolt.Tx) error { asked = tx.Bucket(bucketMeta).Get(metaCompact) != nil; return nil })
	return asked, err
}

// rewrite replaces the file by a copy of what counts in it, and closes it:
// where a key was removed, freed pages still hold it. A crash leaves the old
// file, which says that it is to be rewritten, or the new one.
func rewrite(db *bbolt.DB, path string) error {
	temp := path + ".compact"
	if err := errors.Join(copyState(db, temp), db.Close()); err != nil {
		_ = os.Remove(temp)
		return err
	}
	return node.ReplaceFile(temp, path)
}

// copyState writes a copy of the state, without freed pages, to a new file.
func copyState(db *bbolt.DB, to string) error {
	if err := os.Remove(to); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err // what a crash has left
	}
	fresh, err := bbolt.Open(to, 0o600, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		return err
	}
	err = bbolt.Compact(fresh, db, 1<<20)
	if err == nil {
		err = fresh.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bucketMeta).Delete(metaCompact) })
	}
	return errors.Join(err, fresh.Close())
}

// write changes the state, all of it or nothing, and says what to do when the
// disk does not take it.
func (s *Server) write(change func(tx *bbolt.Tx) error) error {
	changed := false
	err := s.db.Update(func(tx *bbolt.Tx) error {
		err := change(tx)
		changed = err == nil
		return err
	})
	if err != nil && changed {
		return fmt.Errorf("the state file cannot be written, nothing was changed: %w; is the disk full?", err)
	}
	return err
}

func getJSON(tx *bbolt.Tx, bucket, key []byte, v any) (bool, error) {
	data := tx.Bucket(bucket).Get(key)
	if data == nil {
		return false, nil
	}
	if err := json.Unmarshal(data, v); err != nil {
		return false, fmt.Errorf("state file, %s %q: %w", bucket, key, err)
	}
	return true, nil
}

func putJSON(tx *bbolt.Tx, bucket, key []byte, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return tx.Bucket(bucket).Put(key, data)
}

// drawNodeID returns the permanent Node-ID of a person's slot: nobody but the
// holder of the slot key can foresee it, and asking again gives the same, so
// nobody can draw until one suits.
func drawNodeID(slotKey []byte, owner identity.OwnerTag, slot int) identity.NodeID {
	h := hmac.New(sha256.New, slotKey)
	h.Write(owner[:])
	h.Write([]byte{byte(slot)})
	var id identity.NodeID
	copy(id[:], h.Sum(nil))
	return id
}

// secretBytes returns n random bytes.
func secretBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails since Go 1.24
	return b
}
