package identity

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/secp2psip/secp2psip/internal/canon"
)

// Bounds of rotations.
const (
	MaxRotations = 4              // in one account certificate: those that led to its key last
	MaxOverlap   = 24 * time.Hour // how long the old key may go on

	rotationLen     = 32 + 8 + 4 + ed25519.SignatureSize
	contextRotation = "secp2psip/1 rotation"
)

// Rotation is one step from an account key to the next, signed by the old one:
// nobody else can make a name change its key and be followed. It travels in the
// account certificate, which says the rest of what is signed:
//
//	old key    32 bytes
//	issued      8 bytes  ms since 1970, big-endian
//	overlap     4 bytes  s, big-endian
//	signature  64 bytes  by the old key
//
// The signature is that of a COSE_Sign1 under "secp2psip/1 rotation" over
//
//	[ name: text, old: key, new: key, version of the new: uint, issued: time, overlap: uint ]
//
// of which what is constant does not travel.
type Rotation struct {
	Old       PublicKey
	Issued    time.Time     // to the millisecond
	Overlap   time.Duration // whole seconds from Issued on: what the old key has signed still counts
	Signature [ed25519.SignatureSize]byte
}

type rotationBody struct {
	_        struct{} `cbor:",toarray"`
	AOR      string
	Old, New PublicKey
	Version  uint32
	Issued   int64
	Overlap  uint32
}

// Until is when the old key ends.
func (r *Rotation) Until() time.Time { return r.Issued.Add(r.Overlap) }

func (r *Rotation) body(aor AOR, to PublicKey, version uint32) ([]byte, error) {
	return canon.Marshal(rotationBody{
		AOR: aor.String(), Old: r.Old, New: to, Version: version, Issued: r.Issued.UnixMilli(), Overlap: uint32(r.Overlap / time.Second),
	})
}

// SignRotation makes the statement that to, as the given version, follows the
// key old. The error is ErrMalformed where nobody would believe it.
func SignRotation(old PrivateKey, aor AOR, to PublicKey, version uint32, issued time.Time, overlap time.Duration) (Rotation, error) {
	r := Rotation{Old: old.Public(), Issued: time.UnixMilli(issued.UnixMilli()), Overlap: overlap.Truncate(time.Second)}
	if to.IsZero() || r.Old == to || version < 2 || r.Overlap < 0 || r.Overlap > MaxOverlap || r.Issued.UnixMilli() <= 0 {
		return r, fmt.Errorf("%w: a rotation to version %d with an overlap of %v", ErrMalformed, version, overlap)
	}
	payload, err := r.body(aor, to, version)
	if err != nil {
		return r, err
	}
	r.Signature, err = canon.SignDetached(old.Ed25519(), contextRotation, payload)
	return r, err
}

// Verify checks that the old key says that to follows it.
func (r *Rotation) Verify(aor AOR, to PublicKey, version uint32) error {
	payload, err := r.body(aor, to, version)
	if err != nil {
		return err
	}
	if r.Old == to || version < 2 || r.Overlap > MaxOverlap || r.Issued.UnixMilli() <= 0 {
		return fmt.Errorf("%w: a rotation to version %d", ErrMalformed, version)
	}
	if err := canon.VerifyDetached(r.Old.Ed25519(), contextRotation, payload, &r.Signature); err != nil {
		return fmt.Errorf("%w: rotation: %w", ErrUntrusted, err)
	}
	return nil
}

// Bytes returns the form that travels.
func (r *Rotation) Bytes() []byte {
	b := append(make([]byte, 0, rotationLen), r.Old[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(r.Issued.UnixMilli()))
	b = binary.BigEndian.AppendUint32(b, uint32(r.Overlap/time.Second))
	return append(b, r.Signature[:]...)
}

// ParseRotations reads up to MaxRotations of them, one behind the other, without
// checking them.
func ParseRotations(b []byte) ([]Rotation, error) {
	if len(b)%rotationLen != 0 || len(b) > MaxRotations*rotationLen {
		return nil, fmt.Errorf("%w: rotations of %d bytes", ErrMalformed, len(b))
	}
	var out []Rotation
	for one := range slices.Chunk(b, rotationLen) {
		r := Rotation{
			Old: PublicKey(one[:32]), Issued: time.UnixMilli(int64(binary.BigEndian.Uint64(one[32:]))),
			Overlap: time.Duration(binary.BigEndian.Uint32(one[40:])) * time.Second, Signature: [ed25519.SignatureSize]byte(one[44:]),
		}
		out = append(out, r)
	}
	return out, nil
}

// rotationsText is the form in a certificate's URI.
func rotationsText(rs []Rotation) string {
	var b []byte
	for i := range rs {
		b = append(b, rs[i].Bytes()...)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

func parseRotationsText(text string) ([]Rotation, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) == 0 {
		return nil, fmt.Errorf("%w: rotations in a certificate", ErrMalformed)
	}
	return ParseRotations(b)
}

// verifyRotations checks a chain of rotations, the oldest first, whose last one
// leads to key with that version.
func verifyRotations(rs []Rotation, aor AOR, key PublicKey, version uint32) error {
	if len(rs) > MaxRotations || uint64(len(rs)) >= uint64(version) && len(rs) > 0 {
		return fmt.Errorf("%w: %d rotations to version %d", ErrMalformed, len(rs), version)
	}
	for i := len(rs) - 1; i >= 0; i-- {
		if err := rs[i].Verify(aor, key, version); err != nil {
			return err
		}
		key = rs[i].Old
		version--
	}
	return nil
}

// Before returns the rotation away from an earlier key of the account, with that
// key's version; nil if the certificate does not say that this key follows it.
func (a *AccountCertificate) Before(key KeyDigest) (r *Rotation, version uint32) {
	for i := range a.Rotations {
		if a.Rotations[i].Old.Digest() == key {
			return &a.Rotations[i], a.Version - uint32(len(a.Rotations)-i)
		}
	}
	return nil, 0
}

// Follows tells whether the account's key is key, or follows it.
func (a *AccountCertificate) Follows(key PublicKey) bool {
	r, _ := a.Before(key.Digest())
	return a.Key == key || r != nil
}
