package identity

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/secp2psip/secp2psip/internal/canon"
)

// A bulletin is a signed statement that every node of the overlay is to know:
// that a key is revoked, that the operator is about to give a name another key,
// or that the name's owner objects to that.

// Bounds of a bulletin.
const (
	MaxBulletin       = 4 << 10 // bytes, encoded with its chain
	MaxNote           = 128     // bytes of its note
	MaxSignedBulletin = 512     // bytes, signed
	maxBulletinLife   = 21 * 366 * 24 * time.Hour
	contextBulletin   = "secp2psip/1 bulletin"
	bulletinVersion   = 1
)

// RecoveryDelay is how long a recovery must have been public before the new key
// counts.
const RecoveryDelay = 24 * time.Hour

// BulletinKind tells what a bulletin says.
type BulletinKind uint8

// The kinds of bulletins, and whose signature they need.
const (
	RevokeIssuer  BulletinKind = 1 // an issuing key; by the root key
	RevokeAccount BulletinKind = 2 // an account key and the name's use of it; by an issuing key
	RevokeNode    BulletinKind = 3 // a node key; by an issuing key, or by an account of the same owner
	RevokeDevice  BulletinKind = 4 // a device key; by an issuing key, or by the account that delegates to it
	Recovery      BulletinKind = 5 // a name is to have another account key; by an issuing key
	Veto          BulletinKind = 6 // an objection to a recovery; by the old account key
	RetireIssuer  BulletinKind = 7 // an issuing key is to be revoked when the bulletin ends, and another one issues now; by the root key
)

// String returns the kind in a word or two.
func (k BulletinKind) String() string {
	switch k {
	case RevokeIssuer:
		return "issuing key revoked"
	case RevokeAccount:
		return "account revoked"
	case RevokeNode:
		return "node revoked"
	case RevokeDevice:
		return "device revoked"
	case Recovery:
		return "recovery"
	case Veto:
		return "veto"
	case RetireIssuer:
		return "issuing key to be revoked"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// KeyDigest is SHA-256 of a public key, as bulletins name keys.
type KeyDigest [sha256.Size]byte

// String returns 64 hexadecimal digits.
func (d KeyDigest) String() string { return hex.EncodeToString(d[:]) }

// Bulletin is what is signed. It travels as a CBOR array of its fields in this
// order. It names people by a hash of the name only.
type Bulletin struct {
	_       struct{} `cbor:",toarray"`
	Version uint8    // 1
	Overlay string
	Kind    BulletinKind
	Subject KeyDigest // of the key that is revoked, or of the new account key; the ID of the recovery that a veto is against
	Account KeyDigest // the account key concerned: revoked, delegating, old; zero for issuers and nodes
	Name    NodeID    // NameTag of the name whose account it is; zero for issuers, nodes, devices
	Issued  int64     // Unix ms
	Until   int64     // Unix ms; nobody needs it afterwards
	Note    string    // for people, at most MaxNote bytes without control characters
}

// NameTag is how bulletins name an AOR.
func NameTag(aor AOR) NodeID { return HashID(aor.String(), "bulletin") }

// SignedBulletin is a bulletin with what is needed to check it: the chain is
// empty for the root key, the issuing certificate for an issuing key, account
// and issuing certificate for an account key.
type SignedBulletin struct {
	_      struct{} `cbor:",toarray"`
	Signed []byte
	Chain  [][]byte
}

// BulletinID names a bulletin: SHA-256 of its signed bytes. Equal bulletins by
// the same key have equal signed bytes.
type BulletinID [sha256.Size]byte

// ID returns the bulletin's.
func (s SignedBulletin) ID() BulletinID { return sha256.Sum256(s.Signed) }

// Size returns about how many bytes the encoding has, never fewer.
func (s SignedBulletin) Size() int {
	n := 8 + len(s.Signed)
	for _, c := range s.Chain {
		n += 4 + len(c)
	}
	return n
}

// SignBulletin checks b and signs it; Version is filled in. Whether chain leads
// to key, Board.Post finds out.
func SignBulletin(b Bulletin, key PrivateKey, chain ...[]byte) (SignedBulletin, error) {
	b.Version = bulletinVersion
	if err := b.validate(); err != nil {
		return SignedBulletin{}, err
	}
	payload, err := canon.Marshal(b)
	if err != nil {
		return SignedBulletin{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	signed, err := key.Sign(contextBulletin, payload)
	return SignedBulletin{Signed: signed, Chain: chain}, err
}

// Body returns what is signed, without checking the signature.
func (s SignedBulletin) Body() (b Bulletin, err error) {
	if len(s.Signed) > MaxSignedBulletin || len(s.Chain) > 2 || s.Size() > MaxBulletin {
		return b, fmt.Errorf("%w: bulletin of %d bytes", ErrMalformed, s.Size())
	}
	payload, err := canon.Payload(s.Signed)
	if err != nil {
		return b, fmt.Errorf("%w: bulletin: %w", ErrMalformed, err)
	}
	if err := canon.Unmarshal(payload, &b); err != nil {
		return b, fmt.Errorf("%w: bulletin: %w", ErrMalformed, err)
	}
	return b, b.validate()
}

func (b *Bulletin) validate() error {
	named := b.Kind == RevokeAccount || b.Kind == Recovery || b.Kind == Veto
	keyed := named || b.Kind == RevokeDevice
	life := b.Until - b.Issued
	switch {
	case b.Version != bulletinVersion || b.Kind < RevokeIssuer || b.Kind > RetireIssuer:
		return fmt.Errorf("%w: bulletin version %d, %s", ErrMalformed, b.Version, b.Kind)
	case b.Overlay == "" || len(b.Overlay) > 64 || b.Subject == KeyDigest{}:
		return fmt.Errorf("%w: bulletin without overlay or subject", ErrMalformed)
	case keyed != (b.Account != KeyDigest{}) || named != (b.Name != NodeID{}):
		return fmt.Errorf("%w: bulletin: whose account it is does not suit %s", ErrMalformed, b.Kind)
	case b.Kind == RevokeAccount && b.Subject != b.Account, b.Kind == Recovery && b.Subject == b.Account:
		return fmt.Errorf("%w: bulletin: the accounts do not suit %s", ErrMalformed, b.Kind)
	case b.Issued <= 0 || life <= 0 || life > maxBulletinLife.Milliseconds():
		return fmt.Errorf("%w: bulletin from %d until %d", ErrMalformed, b.Issued, b.Until)
	case len(b.Note) > MaxNote || strings.ContainsFunc(b.Note, func(r rune) bool { return r < 0x20 || r == 0x7f }):
		return fmt.Errorf("%w: bulletin: note", ErrMalformed)
	}
	return nil
}

// author is whose word a bulletin is.
type author struct {
	issuer  PublicKey   // zero for the root
	account KeyDigest   // zero unless an account's
	before  []KeyDigest // keys that the account's follows, each by the word of the one before
	owner   OwnerTag    // of that account
}

// byAccount tells that a member signed, and not the issuer or the root.
func (a author) byAccount() bool { return a.account != KeyDigest{} }

// verify checks who signed a bulletin, and that they may say this. Certificates
// must have been valid when it was signed; whether their keys are revoked, the
// board knows.
func (t *Trust) verifyBulletin(s SignedBulletin) (b Bulletin, by author, err error) {
	if b, err = s.Body(); err != nil {
		return b, by, err
	}
	if b.Overlay != t.Overlay() {
		return b, by, fmt.Errorf("%w: bulletin of %s", ErrOtherOverlay, b.Overlay)
	}
	key, err := t.bulletinKey(s.Chain, time.UnixMilli(b.Issued), &by)
	if err != nil {
		return b, by, err
	}
	if _, err := key.Verify(contextBulletin, s.Signed); err != nil {
		return b, by, fmt.Errorf("bulletin: %w", err)
	}
	allowed := false
	switch b.Kind {
	case RevokeIssuer, RetireIssuer:
		allowed = len(s.Chain) == 0
	case RevokeAccount, Recovery:
		allowed = len(s.Chain) == 1
	case RevokeNode:
		allowed = len(s.Chain) > 0
	case RevokeDevice:
		allowed = len(s.Chain) == 1 || by.account == b.Account
	case Veto:
		allowed = len(s.Chain) == 2 && by.account == b.Account
	}
	if !allowed {
		return b, by, fmt.Errorf("%w: %s by somebody who may not say so", ErrUntrusted, b.Kind)
	}
	return b, by, nil
}

func (t *Trust) bulletinKey(chain [][]byte, issued time.Time, by *author) (PublicKey, error) {
	if len(chain) == 0 {
		return t.Root(), nil
	}
	issuer, err := t.anyIssuer(chain[len(chain)-1], issued)
	if err != nil {
		return PublicKey{}, err
	}
	by.issuer = issuer.out.Key
	if len(chain) == 1 {
		return issuer.out.Key, nil
	}
	account, _, err := t.anyAccount(chain, issued)
	if err != nil {
		return PublicKey{}, err
	}
	by.account, by.owner = account.Key.Digest(), account.Owner
	for i := range account.Rotations {
		by.before = append(by.before, account.Rotations[i].Old.Digest())
	}
	return account.Key, nil
}
