package seal

import (
	"bytes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"

	"golang.org/x/crypto/chacha20poly1305"
)

type aead = cipher.AEAD

// linePrefix begins a sealed line.
const linePrefix = "sealed1:"

// Box seals values and opens them. A nil Box leaves everything in the clear,
// so that who keeps values need not ask whether there is a passphrase. Safe
// for concurrent use.
type Box struct {
	key  []byte
	aead aead
}

// NewBox returns a Box with a fresh key.
func NewBox() *Box {
	key := make([]byte, keyLen)
	rand.Read(key)
	return newBox(key)
}

func newBox(key []byte) *Box { return &Box{key: key, aead: newAEAD(key)} }

// newAEAD takes a key of the right length, the one thing that could be wrong.
func newAEAD(key []byte) aead {
	a, err := chacha20poly1305.NewX(key)
	if err != nil {
		panic(err)
	}
	return a
}

// Seal returns plain sealed under a context, or plain itself of a nil Box.
func (b *Box) Seal(context string, plain []byte) []byte {
	if b == nil {
		return plain
	}
	nonce := make([]byte, nonceLen, nonceLen+len(plain)+tagLen)
	rand.Read(nonce)
	return b.aead.Seal(nonce, nonce, plain, []byte(context))
}

// Open returns what Seal was given, or ErrAltered. A nil Box returns what it
// is given.
func (b *Box) Open(context string, sealed []byte) ([]byte, error) {
	if b == nil {
		return sealed, nil
	}
	if len(sealed) < nonceLen+tagLen {
		return nil, ErrAltered
	}
	plain, err := b.aead.Open(nil, sealed[:nonceLen], sealed[nonceLen:], []byte(context))
	if err != nil {
		return nil, ErrAltered
	}
	return plain, nil
}

// SealLine is Seal with a line of text, without the line feed. Of a nil Box
// the line stays as it is.
func (b *Box) SealLine(context string, plain []byte) []byte {
	if b == nil {
		return plain
	}
	return base64.StdEncoding.AppendEncode([]byte(linePrefix), b.Seal(context, plain))
}

// OpenLine returns what SealLine was given. ErrAltered, also for a line in the
// clear, which somebody may have put there; a nil Box takes no other, and one
// that is sealed is ErrLocked to it.
func (b *Box) OpenLine(context string, line []byte) ([]byte, error) {
	text, sealed := bytes.CutPrefix(line, []byte(linePrefix))
	switch {
	case b == nil && sealed:
		return nil, ErrLocked
	case b == nil:
		return line, nil
	case !sealed:
		return nil, ErrAltered
	}
	raw, err := base64.StdEncoding.AppendDecode(nil, text)
	if err != nil {
		return nil, ErrAltered
	}
	return b.Open(context, raw)
}

// Sealed tells whether a line is one that SealLine has sealed.
func Sealed(line []byte) bool { return bytes.HasPrefix(line, []byte(linePrefix)) }
