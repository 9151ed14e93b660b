package adapter

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/sipbridge"
)

// StateFile is the file in the state folder that holds keys, certificates,
// shares, the phones' bindings and a durable copy of the stored records.
const StateFile = "adapter.db"

var (
	bucketMeta     = []byte("meta")
	bucketAccounts = []byte("accounts") // user part → JSON of account
	bucketBindings = []byte("bindings") // user part → JSON of []sipbridge.Binding
)

var (
	metaMember  = []byte("member")   // JSON of member
	metaNodeKey = []byte("node key") // text form
)

// member is what makes this adapter a node of an overlay.
type member struct {
	Overlay  string
	Root     []byte                 // root certificate, DER
	Charter  identity.SignedCharter //
	Chain    [][]byte               // node certificate, issuer certificate; empty before the first enrolment
	RootHash [32]byte               // SHA-256 of Root, as the join link gave it
	Servers  []string               // host:port of the bootstrap servers
	Invited  map[string][]byte      // name → secret of an invitation not used yet
	Open     bool                   // the join link named nobody: the overlay enrols openly
}

// storedKey is a private key in the state file: the one place where it is
// written out.
type storedKey struct{ identity.PrivateKey }

// MarshalText writes the key, "" for none.
func (k storedKey) MarshalText() ([]byte, error) { return []byte(k.Secret()), nil }

// UnmarshalText reads what MarshalText wrote.
func (k *storedKey) UnmarshalText(text []byte) (err error) {
	if len(text) == 0 {
		*k = storedKey{}
		return nil
	}
	k.PrivateKey, err = identity.ParsePrivateKey(string(text))
	return err
}

// MarshalJSON writes the key as MarshalText does, where PrivateKey's own
// method would refuse.
func (k storedKey) MarshalJSON() ([]byte, error) { return json.Marshal(k.Secret()) }

// account is one person's account as kept by this device.
type account struct {
	User       string
	Number     string    `json:",omitempty"`
	AccountKey storedKey // none on a device that another one admitted
	DeviceKey  storedKey
	Part       uint64   // this device's part of the registration
	Chain      [][]byte // account certificate, issuer certificate
	Delegation identity.SignedDelegation
	Shares     []record.Record
	Lookup     *record.Record
	Alias      *record.Record  `json:",omitempty"` // of the number
	Invitation []byte          `json:",omitempty"` // secret that admitted this device: it admits the person's next ones
	Seq        uint64          // last sequence number used for the registration
	Renewed    time.Time       // when certificates and shares were last issued
	Admitted   map[string]bool `json:",omitempty"` // device keys that the account key was made to delegate to
}

type state struct{ db *bbolt.DB }

func openState(dir string) (*state, error) {
	if err := identity.MakeStateDir(dir); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, StateFile)
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second})
	if errors.Is(err, bbolterrors.ErrTimeout) {
		return nil, fmt.Errorf("%s is in use: another adapter runs on this state folder; stop it or choose another folder with --state", path)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w; if the file is damaged, move it away and enrol again with a new invitation", path, err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, b := range [][]byte{bucketMeta, bucketAccounts, bucketBindings} {
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
	return &state{db}, nil
}

// nodeKey returns the key of this running program, made at the first start.
func (s *state) nodeKey() (key identity.PrivateKey, err error) {
	err = s.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketMeta)
		if text := b.Get(metaNodeKey); text != nil {
			key, err = identity.ParsePrivateKey(string(text))
			return err
		}
		if key, err = identity.GenerateKey(); err != nil {
			return err
		}
		return b.Put(metaNodeKey, []byte(key.Secret()))
	})
	return key, err
}

func (s *state) get(bucket, key []byte, v any) (found bool, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		data := tx.Bucket(bucket).Get(key)
		if data == nil {
			return nil
		}
		found = true
		return json.Unmarshal(data, v)
	})
	if err != nil {
		err = fmt.Errorf("state file, %s %q: %w", bucket, key, err)
	}
	return found, err
}

func (s *state) put(bucket, key []byte, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	err = s.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bucket).Put(key, data) })
	if err != nil {
		return fmt.Errorf("write the state file: %w; is the disk full?", err)
	}
	return nil
}

// accounts returns all accounts of this device by user part.
func (s *state) accounts() (map[string]*account, error) {
	all := map[string]*account{}
	err := s.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketAccounts).ForEach(func(k, v []byte) error {
			a := &account{}
			if err := json.Unmarshal(v, a); err != nil {
				return fmt.Errorf("state file, account %q: %w", k, err)
			}
			all[a.User] = a
			return nil
		})
	})
	return all, err
}

// bindings returns the phones that were registered when the adapter stopped.
func (s *state) bindings() (map[string][]sipbridge.Binding, error) {
	all := map[string][]sipbridge.Binding{}
	err := s.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketBindings).ForEach(func(k, v []byte) error {
			var bs []sipbridge.Binding
			if err := json.Unmarshal(v, &bs); err != nil {
				return fmt.Errorf("state file, bindings of %q: %w", k, err)
			}
			all[string(k)] = bs
			return nil
		})
	})
	return all, err
}
