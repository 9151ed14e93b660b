package canon

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"

	"github.com/veraison/go-cose"
)

// signedPrefix is everything before the payload of a signed message.
const signedPrefix = "\xd2\x84\x43\xa1\x01\x27\xa0"

// signatureHeader starts the signature, a byte string of 64 bytes.
const signatureHeader = "\x58\x40"

// Overhead is the most that Sign adds to a payload, in bytes.
const Overhead = len(signedPrefix) + 5 + len(signatureHeader) + ed25519.SignatureSize

// Sign returns payload as a COSE_Sign1 by key under context. The payload may
// be empty.
func Sign(key ed25519.PrivateKey, context string, payload []byte) ([]byte, error) {
	if len(key) != ed25519.PrivateKeySize {
		return nil, ErrBadKey
	}
	if len(payload)+Overhead > MaxSize {
		return nil, fmt.Errorf("%w: payload of %d bytes", ErrTooLarge, len(payload))
	}
	signer, err := cose.NewSigner(cose.AlgorithmEdDSA, key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadKey, err)
	}
	m := cose.NewSign1Message()
	m.Headers.Protected.SetAlgorithm(cose.AlgorithmEdDSA)
	m.Payload = payload
	if m.Payload == nil {
		m.Payload = []byte{} // nil would mean a detached payload
	}
	if err := m.Sign(rand.Reader, []byte(context), signer); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	out, err := m.MarshalCBOR()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return out, nil
}

// Verify checks that msg was made by Sign with the private half of pub under
// the same context, and returns the payload, a part of msg. It returns
// ErrTooLarge, ErrMalformed, ErrNotCanonical, ErrBadKey or ErrBadSignature.
func Verify(pub ed25519.PublicKey, context string, msg []byte) ([]byte, error) {
	payload, err := Payload(msg)
	if err != nil {
		return nil, err
	}
	if len(pub) != ed25519.PublicKeySize {
		return nil, ErrBadKey
	}
	if !ed25519.Verify(pub, toBeSigned(context, payload), msg[len(msg)-ed25519.SignatureSize:]) {
		return nil, ErrBadSignature
	}
	return payload, nil
}

// SignDetached returns the signature alone of the message that Sign would make
// for the payload: a COSE_Sign1 with detached content (RFC 9052 §4.1) without
// what is constant in it.
func SignDetached(key ed25519.PrivateKey, context string, payload []byte) (sig [ed25519.SignatureSize]byte, err error) {
	if len(key) != ed25519.PrivateKeySize {
		return sig, ErrBadKey
	}
	copy(sig[:], ed25519.Sign(key, toBeSigned(context, payload)))
	return sig, nil
}

// VerifyDetached checks what SignDetached made. It returns ErrBadKey or
// ErrBadSignature.
func VerifyDetached(pub ed25519.PublicKey, context string, payload []byte, sig *[ed25519.SignatureSize]byte) error {
	if len(pub) != ed25519.PublicKeySize {
		return ErrBadKey
	}
	if !ed25519.Verify(pub, toBeSigned(context, payload), sig[:]) {
		return ErrBadSignature
	}
	return nil
}

// sigStructure is what is signed (RFC 9052 §4.4).
//
// Sign leaves it to package cose. Verify, which a look-up does a dozen times,
// has checked every other byte of the message already.
type sigStructure struct {
	_         struct{} `cbor:",toarray"`
	Context   string
	Protected []byte
	External  []byte
	Payload   []byte
}

func toBeSigned(context string, payload []byte) []byte {
	const protected = "\xa1\x01\x27" // {1: -8}, as in signedPrefix
	return must(Marshal(&sigStructure{Context: "Signature1", Protected: []byte(protected), External: []byte(context), Payload: payload}))
}

// Payload returns the payload of msg, a part of it, without checking the
// signature: to find out whose key to check it with.
func Payload(msg []byte) ([]byte, error) {
	if len(msg) > MaxSize {
		return nil, fmt.Errorf("%w: %d bytes", ErrTooLarge, len(msg))
	}
	if len(msg) < len(signedPrefix) || string(msg[:len(signedPrefix)]) != signedPrefix {
		return nil, fmt.Errorf("%w: not a COSE_Sign1 with EdDSA", ErrMalformed)
	}
	payload, rest, err := Bytes(msg[len(signedPrefix):])
	if err != nil {
		return nil, err
	}
	if len(rest) != len(signatureHeader)+ed25519.SignatureSize || string(rest[:len(signatureHeader)]) != signatureHeader {
		return nil, fmt.Errorf("%w: no signature of %d bytes", ErrMalformed, ed25519.SignatureSize)
	}
	return payload, nil
}
