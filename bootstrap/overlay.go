package bootstrap

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/node"
)

// overlay is what makes this server the authority of its name space. Safe for
// concurrent use once read.
type overlay struct {
	charter  atomic.Pointer[identity.SignedCharter] // in force
	rootCert []byte
	nodeKey  identity.PrivateKey
	slotKey  []byte
	issuer   atomic.Pointer[identity.Issuer]

	rootMu sync.Mutex           // held while the root key is used, exported or removed
	root   *identity.PrivateKey // nil while the root key is offline
}

// loadOverlay resumes the overlay of the state file, or makes a new one by
// the plan when the file is empty. fresh tells which.
func loadOverlay(file *node.State, plan identity.Charter, now time.Time) (o *overlay, fresh bool, err error) {
	db := file.DB
	err = db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketMeta)
		if b.Get(metaCharter) == nil {
			fresh = true
			return createOverlay(file, b, plan, now)
		}
		return nil
	})
	if err != nil {
		return nil, false, fmt.Errorf("make the overlay: %w", err)
	}
	o = &overlay{}
	if err := db.View(func(tx *bbolt.Tx) error { return o.read(file, tx.Bucket(bucketMeta)) }); err != nil {
		return nil, false, fmt.Errorf("read the overlay's state: %w; bring a backup back with 'secp2psip restore FILE'", err)
	}
	return o, fresh, o.renewIssuer(db, now)
}

// createOverlay makes the keys, the certificates and the charter.
func createOverlay(file *node.State, b *bbolt.Bucket, plan identity.Charter, now time.Time) error {
	var keys [3]identity.PrivateKey
	for i := range keys {
		var err error
		if keys[i], err = identity.GenerateKey(); err != nil {
			return err
		}
	}
	root, issuer, nodeKey := keys[0], keys[1], keys[2]
	fresh := identity.DefaultCharter(plan.Overlay, root.Public(), now)
	plan.Version, plan.Root, plan.Seq, plan.Issued = fresh.Version, fresh.Root, fresh.Seq, fresh.Issued
	charter, err := plan.Sign(root)
	if err != nil {
		return err
	}
	rootCert, err := identity.NewRootCertificate(root, plan.Overlay, now)
	if err != nil {
		return err
	}
	issuerCert, err := identity.IssueIssuerCertificate(root, rootCert, issuer.Public(), now)
	if err != nil {
		return err
	}
	for _, kv := range []struct{ key, value []byte }{
		{metaCharter, charter},
		{metaRootKey, []byte(root.Secret())},
		{metaRootCert, rootCert},
		{metaIssuerKey, []byte(issuer.Secret())},
		{metaIssuerCert, issuerCert},
		{metaNodeKey, []byte(nodeKey.Secret())},
		{metaSlotKey, secretBytes(32)},
	} {
		if err := b.Put(kv.key, file.Seal(bucketMeta, kv.key, kv.value)); err != nil {
			return err
		}
	}
	return nil
}

func (o *overlay) read(file *node.State, b *bbolt.Bucket) error {
	get := func(key []byte) []byte { return append([]byte(nil), b.Get(key)...) }
	charter := identity.SignedCharter(get(metaCharter))
	o.charter.Store(&charter)
	o.rootCert = get(metaRootCert)
	var altered error
	open := func(key []byte) []byte {
		text := get(key)
		if len(text) == 0 {
			return nil
		}
		text, err := file.Open(bucketMeta, key, text)
		altered = errors.Join(altered, err)
		return text
	}
	root, issuerText, nodeText := open(metaRootKey), open(metaIssuerKey), open(metaNodeKey)
	if o.slotKey = open(metaSlotKey); altered != nil {
		return altered
	}
	if len(root) > 0 {
		key, err := identity.ParsePrivateKey(string(root))
		if err != nil {
			return fmt.Errorf("root key: %w", err)
		}
		o.root = &key
	}
	issuerKey, err := identity.ParsePrivateKey(string(issuerText))
	if err != nil {
		return fmt.Errorf("issuing key: %w", err)
	}
	issuer, err := identity.NewIssuer(issuerKey, get(metaIssuerCert))
	if err != nil {
		return fmt.Errorf("issuing certificate: %w", err)
	}
	o.issuer.Store(issuer)
	if o.nodeKey, err = identity.ParsePrivateKey(string(nodeText)); err != nil {
		return fmt.Errorf("node key: %w", err)
	}
	if len(o.slotKey) < 32 {
		return errors.New("slot key is missing")
	}
	return nil
}

// signed is the charter in force.
func (o *overlay) signed() identity.SignedCharter { return *o.charter.Load() }

// trust verifies what belongs to the overlay.
func (o *overlay) trust() (*identity.Trust, error) {
	root, _, err := identity.RootKey(o.rootCert)
	if err != nil {
		return nil, fmt.Errorf("root certificate: %w", err)
	}
	charter, err := o.signed().Verify(root)
	if err != nil {
		return nil, fmt.Errorf("charter: %w", err)
	}
	return identity.NewTrust(o.rootCert, charter)
}

// offline tells that the root key is not here.
func (o *overlay) offline() bool {
	o.rootMu.Lock()
	defer o.rootMu.Unlock()
	return o.root == nil
}

// issuerRenewBefore: an issuing certificate lasts a year; it is made anew
// when less than a quarter of that is left, so that nothing it signs
// outlives it by much.
const issuerRenewBefore = 90 * 24 * time.Hour

// issuerWarnBefore is when the operator is told that the root key is needed.
const issuerWarnBefore = issuerRenewBefore / 3

// renewIssuer signs the issuing key anew when its certificate nears its end
// and the root key is here.
func (o *overlay) renewIssuer(db *bbolt.DB, now time.Time) error {
	o.rootMu.Lock()
	defer o.rootMu.Unlock()
	if o.root == nil || o.issuer.Load().NotAfter().Sub(now) > issuerRenewBefore {
		return nil
	}
	return o.signIssuerLocked(db, *o.root, now)
}

// signIssuerLocked signs the issuing key for another year.
func (o *overlay) signIssuerLocked(db *bbolt.DB, root identity.PrivateKey, now time.Time) error {
	key := o.issuer.Load().Key()
	der, err := identity.IssueIssuerCertificate(root, o.rootCert, key.Public(), now)
	if err != nil {
		return fmt.Errorf("renew the issuing certificate: %w", err)
	}
	issuer, err := identity.NewIssuer(key, der)
	if err != nil {
		return fmt.Errorf("renew the issuing certificate: %w", err)
	}
	if err := db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bucketMeta).Put(metaIssuerCert, der) }); err != nil {
		return fmt.Errorf("keep the renewed issuing certificate: %w; is the disk full?", err)
	}
	o.issuer.Store(issuer)
	return nil
}

// fingerprint is what join links carry: SHA-256 of the root certificate.
func (o *overlay) fingerprint() [32]byte { return sha256.Sum256(o.rootCert) }
