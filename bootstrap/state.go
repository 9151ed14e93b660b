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
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
)

// StateFile is the one file in the state folder that holds everything a
// bootstrap server must remember.
const StateFile = "bootstrap.db"

// The buckets of the state file.
var (
	bucketMeta        = []byte("meta")        // name → value, see the keys below
	bucketPeople      = []byte("people")      // user part → JSON of person
	bucketNumbers     = []byte("numbers")     // number → user part
	bucketInvitations = []byte("invitations") // SHA-256 of the secret → JSON of invitation
	bucketNodes       = []byte("nodes")       // node key → JSON of nodeEntry
	bucketSources     = []byte("sources")     // IP address → how many names it enrolled in open mode
)

// The keys of bucketMeta.
var (
	metaCharter    = []byte("charter")     // identity.SignedCharter
	metaRootKey    = []byte("root key")    // text form; absent while the root is offline
	metaRootCert   = []byte("root cert")   // DER
	metaIssuerKey  = []byte("issuer key")  // text form
	metaIssuerCert = []byte("issuer cert") // DER
	metaNodeKey    = []byte("node key")    // text form
	metaCompact    = []byte("compact")     // present: rewrite the file at the next start
	metaSlotKey    = []byte("slot key")    // 32 random bytes: Node-IDs are drawn from it
)

// device is one admitted device of a person.
type device struct {
	Slot     int                // which of the person's permanent Node-IDs
	Node     identity.NodeID    // that Node-ID
	NodeKey  identity.PublicKey // the key of the running program
	Device   identity.PublicKey // the key that signs calls
	Admitted time.Time
	Addrs    []string // last seen at, so that a first device can be asked to admit a second
}

// nodeEntry is one running program that was given a place on the ring. It
// belongs to the first person it served; others whom it serves later share it.
type nodeEntry struct {
	ID    identity.NodeID
	Owner identity.OwnerTag
	Open  int // names it enrolled in open mode
}

// person is one enrolled name.
type person struct {
	User     string
	Number   string `json:",omitempty"`
	Account  identity.PublicKey
	Version  uint32 // of the account key
	Dealing  uint64
	Owner    identity.OwnerTag
	Enrolled time.Time
	Renewed  time.Time
	Cert     []byte // account certificate, DER
	Shares   []record.Record
	Lookup   record.Record
	Alias    *record.Record `json:",omitempty"` // of the number
	Devices  []device
}

// invitation admits devices of one person; only the hash of its secret is kept.
type invitation struct {
	User    string
	Number  string `json:",omitempty"`
	Devices int
	Used    []identity.PublicKey // node keys that redeemed it: asking again is not another use
	Made    time.Time
	Expires time.Time
}

// openState opens the state file, creating folder and file where they are missing.
func openState(dir string) (*bbolt.DB, error) {
	if err := identity.MakeStateDir(dir); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, StateFile)
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second})
	if errors.Is(err, bbolterrors.ErrTimeout) {
		return nil, fmt.Errorf("%s is in use: another bootstrap server runs on this state folder; stop it or choose another folder with --state", path)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w; restore a backup with 'secp2psip restore'", path, err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, b := range [][]byte{bucketMeta, bucketPeople, bucketNumbers, bucketInvitations, bucketNodes, bucketSources} {
			if _, err := tx.CreateBucketIfNotExists(b); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		db.Close()
		return nil, fmt.Errorf("prepare %s: %w", path, err)
	}
	return compactIfAsked(db, path)
}

// compactIfAsked rewrites the file where a key was removed from it, so that no
// freed page still holds the key.
func compactIfAsked(db *bbolt.DB, path string) (*bbolt.DB, error) {
	asked := false
	if err := db.View(func(tx *bbolt.Tx) error { asked = tx.Bucket(bucketMeta).Get(metaCompact) != nil; return nil }); err != nil || !asked {
		return db, err
	}
	if err := db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bucketMeta).Delete(metaCompact) }); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	temp := path + ".compact"
	fresh, err := bbolt.Open(temp, 0o600, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if err := errors.Join(bbolt.Compact(fresh, db, 1<<20), fresh.Close(), db.Close()); err != nil {
		return nil, fmt.Errorf("rewrite %s: %w", path, err)
	}
	if err := os.Rename(temp, path); err != nil {
		return nil, err
	}
	return bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second})
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
