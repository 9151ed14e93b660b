package record

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hpke"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	mathrand "math/rand/v2"

	"github.com/secp2psip/secp2psip/internal/canon"
	"github.com/secp2psip/secp2psip/internal/identity"
)

// A sealed registration is for its owner and at most MaxReaders other people. It
// has the same length and the same form for one reader as for eight and for one
// address as for many: a slot for each of them, with the key of the box by HPKE (RFC 9180, base
// mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305), those that
// nobody is to open under keys that were thrown away, in random order; and the
// box, the padded registration under AES-128-GCM with a nonce of zeros, for
// each key seals once.
const (
	MaxReaders = 8
	slots      = MaxReaders + 1

	boxKeyLen = 16
	slotLen   = 32 + boxKeyLen + 16 // encapsulated key, sealed key, tag
	// MaxSealed is the longest encoded registration that can be sealed, in bytes.
	MaxSealed = 382
	boxPlain  = 2 + MaxSealed // length and padding
	boxLen    = boxPlain + 16

	contextSealed = "secp2psip sealed registration"
)

// Sealed is the data of a registration that only its readers can open.
type Sealed struct {
	_     struct{} `cbor:",toarray"`
	Slots []byte   // nine times slotLen
	Box   []byte   // boxLen
}

func (d Sealed) validate() error {
	if len(d.Slots) != slots*slotLen || len(d.Box) != boxLen {
		return fmt.Errorf("%w: sealed registration", ErrMalformed)
	}
	return nil
}

// sealedInfo binds slots and box to the record they stand in.
func sealedInfo(aor identity.AOR, part uint64) []byte {
	info := append([]byte(contextSealed), 0)
	info = append(append(info, aor.String()...), 0)
	return binary.BigEndian.AppendUint64(info, part)
}

// SealRegistration returns the data of a registration for the account keys of
// its owner and of readers, none to MaxReaders. ErrTooLarge for too many, or a registration of more
// than MaxSealed bytes.
func SealRegistration(d Registration, aor identity.AOR, part uint64, owner identity.PublicKey, readers []identity.PublicKey) ([]byte, error) {
	if len(readers) > MaxReaders {
		return nil, fmt.Errorf("%w: a registration for %d readers", ErrTooLarge, len(readers))
	}
	plain, err := canon.Marshal(d)
	if err != nil {
		return nil, err
	}
	if len(plain) > MaxSealed {
		return nil, fmt.Errorf("%w: a registration of %d bytes, sealed", ErrTooLarge, len(plain))
	}
	key := make([]byte, boxKeyLen)
	rand.Read(key)
	box, err := boxCipher(key)
	if err != nil {
		return nil, err
	}
	padded := make([]byte, boxPlain)
	binary.BigEndian.PutUint16(padded, uint16(len(plain)))
	copy(padded[2:], plain)
	info := sealedInfo(aor, part)
	s := Sealed{Slots: make([]byte, slots*slotLen), Box: box.Seal(nil, make([]byte, box.NonceSize()), padded, info)}
	keys := append([]identity.PublicKey{owner}, readers...)
	for i, at := range mathrand.Perm(slots) {
		slot, err := sealSlot(i, keys, info, key)
		if err != nil {
			return nil, err
		}
		copy(s.Slots[at*slotLen:], slot)
	}
	return canon.Marshal(s)
}

// sealSlot makes the slot of the i-th reader, or one that nobody can open and
// nobody can tell from the others.
func sealSlot(i int, readers []identity.PublicKey, info, key []byte) ([]byte, error) {
	if i >= len(readers) {
		k, err := identity.GenerateKey()
		if err != nil {
			return nil, err
		}
		return sealTo(k.Public(), info, make([]byte, len(key)))
	}
	return sealTo(readers[i], info, key)
}

func sealTo(reader identity.PublicKey, info, key []byte) ([]byte, error) {
	at, err := reader.SealingKey()
	if err != nil {
		return nil, err
	}
	public, err := hpke.NewDHKEMPublicKey(at)
	if err != nil {
		return nil, fmt.Errorf("%w: a reader's key: %w", ErrMalformed, err)
	}
	return hpke.Seal(public, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), info, key)
}

func boxCipher(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// ErrNotForUs: a sealed registration has none of the keys as a reader.
var ErrNotForUs = errors.New("the registration is sealed for others")

// Open returns the registration of a verified record, which is sealed, if one
// of the account keys is a reader's. ErrNotForUs, ErrMalformed.
func (v *Verified) Open(keys []identity.PrivateKey) (*Registration, error) {
	info := sealedInfo(v.AOR, v.Body.Part)
	for _, k := range keys {
		key, ok := v.Sealed.boxKey(k, info)
		if !ok {
			continue
		}
		return v.Sealed.open(key, info)
	}
	return nil, ErrNotForUs
}

// boxKey finds the slot of a reader.
func (d *Sealed) boxKey(k identity.PrivateKey, info []byte) ([]byte, bool) {
	at, err := k.OpeningKey()
	if err != nil {
		return nil, false
	}
	private, err := hpke.NewDHKEMPrivateKey(at)
	if err != nil {
		return nil, false
	}
	for i := range slots {
		key, err := hpke.Open(private, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), info, d.Slots[i*slotLen:][:slotLen])
		if err == nil && len(key) == boxKeyLen {
			return key, true
		}
	}
	return nil, false
}

func (d *Sealed) open(key, info []byte) (*Registration, error) {
	box, err := boxCipher(key)
	if err != nil {
		return nil, err
	}
	plain, err := box.Open(nil, make([]byte, box.NonceSize()), d.Box, info)
	if err != nil {
		return nil, fmt.Errorf("%w: the box of a sealed registration does not open", ErrMalformed)
	}
	n := int(binary.BigEndian.Uint16(plain))
	if n > MaxSealed {
		return nil, fmt.Errorf("%w: sealed registration of %d bytes", ErrMalformed, n)
	}
	return decodeData[Registration](plain[2 : 2+n])
}
