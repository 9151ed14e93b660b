package seal

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"runtime/debug"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/chacha20poly1305"
)

const (
	magic    = "s2pseal1"
	saltLen  = 16
	nonceLen = chacha20poly1305.NonceSizeX
	keyLen   = chacha20poly1305.KeySize
	tagLen   = chacha20poly1305.Overhead

	bodyLen = len(magic) + 1 + 4 + 4 + 1 + saltLen + nonceLen
	// HeaderLen is the length of an encoded Header in bytes.
	HeaderLen = bodyLen + keyLen + tagLen
)

// Bounds of a passphrase in bytes, and of what a header may ask for.
const (
	MinPassphrase = 8
	MaxPassphrase = 1024

	maxPasses = 16
	minMemory = 64        // KiB
	maxMemory = 256 << 10 // KiB
	maxLanes  = 16
)

// Params are what argon2id costs.
type Params struct {
	Passes uint32 // 1 to 16
	Memory uint32 // KiB, 64 to 262,144 and at least 8 a lane
	Lanes  uint8  // 1 to 16
}

// DefaultParams is the second choice that RFC 9106 §4 recommends, for machines
// with little memory: 3 passes over 64 MiB in 4 lanes.
func DefaultParams() Params { return Params{Passes: 3, Memory: 64 << 10, Lanes: 4} }

func (p Params) check() error {
	if p.Passes < 1 || p.Passes > maxPasses || p.Lanes < 1 || p.Lanes > maxLanes ||
		p.Memory < max(minMemory, 8*uint32(p.Lanes)) || p.Memory > maxMemory {
		return fmt.Errorf("%w: it asks for %d passes over %d KiB in %d lanes", ErrHeader, p.Passes, p.Memory, p.Lanes)
	}
	return nil
}

// Header is a Box's key under a passphrase. The zero value is none.
type Header struct {
	Params
	Settling bool // files beside the state file may still be in the clear
	salt     [saltLen]byte
	nonce    [nonceLen]byte
	key      [keyLen + tagLen]byte
}

// ParseHeader reads what Bytes wrote. ErrHeader.
func ParseHeader(b []byte) (h Header, err error) {
	if len(b) != HeaderLen || !bytes.HasPrefix(b, []byte(magic)) {
		return Header{}, fmt.Errorf("%w: %d bytes", ErrHeader, len(b))
	}
	r := b[len(magic):]
	if r[0] > 1 {
		return Header{}, fmt.Errorf("%w: state %d", ErrHeader, r[0])
	}
	h.Settling = r[0] == 1
	h.Passes, h.Memory, h.Lanes = binary.BigEndian.Uint32(r[1:]), binary.BigEndian.Uint32(r[5:]), r[9]
	if err := h.check(); err != nil {
		return Header{}, err
	}
	r = r[10:]
	r = r[copy(h.salt[:], r):]
	r = r[copy(h.nonce[:], r):]
	copy(h.key[:], r)
	return h, nil
}

// Bytes encodes the header.
func (h Header) Bytes() []byte { return append(h.body(), h.key[:]...) }

// body is what the sealed key authenticates.
func (h Header) body() []byte {
	b := make([]byte, 0, HeaderLen)
	b = append(b, magic...)
	if h.Settling {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	b = binary.BigEndian.AppendUint32(b, h.Passes)
	b = binary.BigEndian.AppendUint32(b, h.Memory)
	b = append(b, h.Lanes)
	b = append(b, h.salt[:]...)
	return append(b, h.nonce[:]...)
}

// Unlock returns the Box that the passphrase opens, or ErrPassphrase. It takes
// the memory and about as long as the header's parameters say.
func (h Header) Unlock(passphrase []byte) (*Box, error) {
	if err := h.check(); err != nil {
		return nil, err
	}
	key, err := h.cipher(passphrase).Open(nil, h.nonce[:], h.key[:], h.body())
	if err != nil {
		return nil, ErrPassphrase
	}
	return newBox(key), nil
}

// Lock seals the Box's key under a passphrase of 8 to 1,024 bytes.
func (b *Box) Lock(passphrase []byte, p Params, settling bool) (Header, error) {
	if len(passphrase) < MinPassphrase || len(passphrase) > MaxPassphrase {
		return Header{}, fmt.Errorf("%w, not %d", ErrWeak, len(passphrase))
	}
	if err := p.check(); err != nil {
		return Header{}, err
	}
	h := Header{Params: p, Settling: settling}
	rand.Read(h.salt[:]) // never fails since Go 1.24
	rand.Read(h.nonce[:])
	copy(h.key[:], h.cipher(passphrase).Seal(nil, h.nonce[:], b.key, h.body())) // #nosec G407 -- drawn by crypto/rand two lines above
	return h, nil
}

func (h Header) cipher(passphrase []byte) aead {
	key := argon2.IDKey(passphrase, h.salt[:], h.Passes, h.Memory, h.Lanes, keyLen)
	debug.FreeOSMemory() // a daemon should not keep those mebibytes for its life
	return newAEAD(key)
}
