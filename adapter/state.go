package adapter

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/node"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/seal"
	"github.com/secp2psip/secp2psip/sipbridge"
)

// StateFile is the file in the state folder that holds keys, certificates,
// shares, the phones' bindings and a durable copy of the stored records.
const StateFile = "adapter.db"

var (
	bucketMeta     = []byte("meta")
	bucketAccounts = []byte("accounts") // user part → JSON of account
	bucketPending  = []byte("pending")  // user part → JSON of account: keys of an enrolment that is not answered yet
	bucketBindings = []byte("bindings") // user part → JSON of []sipbridge.Binding, times in overlay time

	bucketScreening = []byte("screening") // user part → JSON of screening
	bucketTalks     = []byte("talks")     // ID of a call that is being talked in → JSON of talk
)

var (
	metaMember  = []byte("member")   // JSON of member
	metaNodeKey = []byte("node key") // text form
)

// maxInvited bounds the invitations that wait to be used, and those of one
// account that admit further devices; the oldest goes.
const maxInvited = 64

// member is what makes this adapter a node of an overlay. It is replaced as a
// whole, never changed.
type member struct {
	Overlay  string
	Root     []byte                 // root certificate, DER
	Charter  identity.SignedCharter //
	Chain    [][]byte               // node certificate, issuer certificate; empty before the first enrolment
	RootHash [32]byte               // SHA-256 of Root, as the join link gave it
	Servers  []string               // host:port of the bootstrap servers
	Invited  []invited              // names with an invitation not used yet, oldest first
	Open     bool                   // the join link named nobody: the overlay enrols openly
}

// invited is a name and the secret of its invitation.
type invited struct {
	User   string
	Secret []byte
}

// invitation returns the secret for a name, nil if there is none.
func (m *member) invitation(user string) []byte {
	for _, i := range m.Invited {
		if i.User == user {
			return i.Secret
		}
	}
	return nil
}

// withInvitation returns a copy in which the name has that invitation, or none.
func (m *member) withInvitation(user string, secret []byte) *member {
	out := *m
	out.Invited = slices.DeleteFunc(slices.Clone(m.Invited), func(i invited) bool { return i.User == user })
	if secret != nil {
		out.Invited = append(out.Invited, invited{user, slices.Clone(secret)})
	}
	out.Invited = out.Invited[max(0, len(out.Invited)-maxInvited):]
	return &out
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

// account is one person's account as kept by this device. It is replaced as a
// whole; slices and maps in it are never changed in place.
type account struct {
	User        string
	Number      string    `json:",omitempty"`
	DeviceName  string    `json:",omitempty"` // of this device, as others are told
	AccountKey  storedKey // none on a device that another one admitted
	DeviceKey   storedKey
	Part        uint64   // this device's part of the registration
	Chain       [][]byte // account certificate, issuer certificate
	Delegation  identity.SignedDelegation
	Shares      []record.Record
	Lookup      *record.Record
	Alias       *record.Record   `json:",omitempty"` // of the number
	Invitations [][]byte         `json:",omitempty"` // secrets that admit the person's further devices
	Seq         uint64           // last sequence number used for the registration
	Renewed     time.Time        // when certificates and shares were last issued
	Admitted    map[string]bool  `json:",omitempty"` // device keys that the account key delegates to
	Rotations   []byte           `json:",omitempty"` // how the account key came about, as Rotation.Bytes, the oldest first
	Devices     []admittedDevice `json:",omitempty"` // all that it was made to delegate to, the newest last
	Next        *nextKey         `json:",omitempty"` // a change of keys that has begun

	Restricted bool      `json:",omitempty"` // the registration is sealed for Readers
	Readers    []string  `json:",omitempty"` // AORs
	WriterKey  storedKey // signs sealed registrations; none before the first
}

// nextKey is a key that is to take another one's place. It is on disk before
// anybody hears of it.
type nextKey struct {
	Key       storedKey
	Device    bool   // the device key is to change, else the account key
	Rotations []byte `json:",omitempty"` // of an account key: Rotations as they will be
}

// records are what the issuer has signed for the account.
func (a *account) records() []record.Record {
	all := slices.Clone(a.Shares)
	if len(a.Rotations) > 0 && len(a.Chain) > 0 {
		all = record.WithAccount(all, a.Chain[0])
	}
	for _, r := range []*record.Record{a.Lookup, a.Alias} {
		if r != nil {
			all = append(all, *r)
		}
	}
	return all
}

// withInvitation returns the secrets with one more.
func withInvitation(secrets [][]byte, secret []byte) [][]byte {
	if len(secret) == 0 || slices.ContainsFunc(secrets, func(s []byte) bool { return string(s) == string(secret) }) {
		return secrets
	}
	out := append(slices.Clone(secrets), slices.Clone(secret))
	return out[max(0, len(out)-maxInvited):]
}

// state is the open state file; its values are sealed if there is a passphrase.
type state struct {
	db   *bbolt.DB
	file *node.State
}

// State describes the state file in a folder, for who opens it or gives it a
// passphrase. The adapter's own buckets are sealed, and the files that name the
// people of calls; what the node keeps for the ring in buckets of its own is not.
func State(dir string) node.StateFile {
	own := [][]byte{bucketMeta, bucketAccounts, bucketPending, bucketBindings, bucketScreening, bucketTalks}
	return node.StateFile{
		Path: filepath.Join(dir, StateFile), Program: "adapter", Mend: mendState,
		Buckets: own,
		Secret: func(bucket, _ []byte) bool {
			return slices.ContainsFunc(own, func(b []byte) bool { return string(b) == string(bucket) })
		},
		Beside: []node.Beside{{Name: pinsFile}, {Name: node.ChangedFile}, {Name: recordsFile, Lines: true}, {Name: recordsOld, Lines: true}},
	}
}

// pinsFile holds the keys of the people seen.
const pinsFile = "pins"

func openState(dir string, source seal.Source) (*state, error) {
	if err := identity.MakeStateDir(dir); err != nil {
		return nil, fmt.Errorf("make the state folder: %w", err)
	}
	file, err := node.OpenSealed(State(dir), source)
	if err != nil {
		return nil, err
	}
	return &state{file.DB, file}, nil
}

// mendState is what to do where the state cannot be read.
const mendState = "move the file away; what it held is lost with it, so enrol again with a new invitation"

// nodeKey returns the key of this running program, made at the first start.
func (s *state) nodeKey() (identity.PrivateKey, error) {
	var key identity.PrivateKey
	err := s.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketMeta)
		if text := b.Get(metaNodeKey); text != nil {
			text, err := s.file.Open(bucketMeta, metaNodeKey, text)
			if err == nil {
				key, err = identity.ParsePrivateKey(string(text))
			}
			return err
		}
		var err error
		if key, err = identity.GenerateKey(); err != nil {
			return err
		}
		return b.Put(metaNodeKey, s.file.Seal(bucketMeta, metaNodeKey, []byte(key.Secret())))
	})
	if err != nil {
		err = fmt.Errorf("state file, node key: %w; %s", err, mendState)
	}
	return key, err
}

func (s *state) get(bucket, key []byte, v any) (found bool, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		data := tx.Bucket(bucket).Get(key)
		if data == nil {
			return nil
		}
		found = true
		data, err := s.file.Open(bucket, key, data)
		if err != nil {
			return err
		}
		return json.Unmarshal(data, v)
	})
	if err != nil {
		err = fmt.Errorf("state file, %s %q: %w; %s", bucket, key, err, mendState)
	}
	return found, err
}

// entry is one value for the state file; nil deletes.
type entry struct {
	bucket, key []byte
	value       any
}

// put writes all entries or none.
func (s *state) put(entries ...entry) error {
	err := s.db.Update(func(tx *bbolt.Tx) error {
		for _, e := range entries {
			if e.value == nil {
				if err := tx.Bucket(e.bucket).Delete(e.key); err != nil {
					return err
				}
				continue
			}
			data, err := json.Marshal(e.value)
			if err != nil {
				return err
			}
			if err := tx.Bucket(e.bucket).Put(e.key, s.file.Seal(e.bucket, e.key, data)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("the adapter's state file cannot be written, nothing was changed: %w; is the disk full?", err)
	}
	return nil
}

// accounts returns all accounts of this device by user part.
func (s *state) accounts() (map[string]*account, error) {
	all := map[string]*account{}
	err := eachValue(s, bucketAccounts, func(_ string, a account) { all[a.User] = &a })
	return all, err
}

// bindings returns the phones that were registered when the adapter stopped.
func (s *state) bindings() (map[string][]sipbridge.Binding, error) {
	all := map[string][]sipbridge.Binding{}
	err := eachValue(s, bucketBindings, func(user string, bs []sipbridge.Binding) { all[user] = bs })
	return all, err
}

// eachValue reads every value of a bucket.
func eachValue[T any](s *state, bucket []byte, f func(key string, v T)) error {
	return s.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucket).ForEach(func(k, data []byte) error {
			var v T
			data, err := s.file.Open(bucket, k, data)
			if err == nil {
				err = json.Unmarshal(data, &v)
			}
			if err != nil {
				return fmt.Errorf("state file, %s %q: %w; %s", bucket, k, err, mendState)
			}
			f(string(k), v)
			return nil
		})
	})
}
