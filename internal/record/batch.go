package record

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/secp2psip/secp2psip/internal/canon"
	"github.com/secp2psip/secp2psip/internal/identity"
)

const (
	contextBatch = "secp2psip/1 record batch"
	// MaxBatch bounds the records that one signature is for: a dealing, the
	// account and its number.
	MaxBatch = 128
)

// batched is the signed part of a record that was signed together with others:
// one signature is for the root of the tree whose leaves are their bodies.
type batched struct {
	_         struct{} `cbor:",toarray"`
	Body      []byte   // the leaf
	Index     uint8    // of the leaf, from 0
	Size      uint8    // leaves of the tree, 2 to MaxBatch
	Path      []byte   // hashes from the leaf's neighbour up
	Signature [ed25519.SignatureSize]byte
}

// batchRoot is what is signed for all of them.
type batchRoot struct {
	_    struct{} `cbor:",toarray"`
	Size uint8
	Root treeHash
}

// SignBatch is Sign for up to MaxBatch bodies of what an issuer signs: it signs
// them once, and each record says how it is one of them. The records are in the
// order of the bodies, and each verifies by itself. What one of them gives away
// of the others is their hashes.
func SignBatch(bodies []Body, key identity.PrivateKey, chain Chain) ([]Record, error) {
	if len(bodies) < 2 || len(bodies) > MaxBatch {
		return nil, fmt.Errorf("%w: a batch of %d", ErrMalformed, len(bodies))
	}
	payloads, leaves := make([][]byte, len(bodies)), make([]treeHash, len(bodies))
	for i, b := range bodies {
		if b.Kind == KindRegistration {
			return nil, fmt.Errorf("%w: a %s in a batch", ErrMalformed, b.Kind)
		}
		var err error
		if payloads[i], err = b.encode(); err != nil {
			return nil, err
		}
		leaves[i] = leafHash(payloads[i])
	}
	root, err := canon.Marshal(batchRoot{Size: uint8(len(bodies)), Root: treeRoot(leaves)})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	sig, err := canon.SignDetached(key.Ed25519(), contextBatch, root)
	if err != nil {
		return nil, err
	}
	out := make([]Record, len(bodies))
	for i := range out {
		signed, err := canon.Marshal(batched{
			Body: payloads[i], Index: uint8(i), Size: uint8(len(bodies)), Path: treePath(nil, leaves, i), Signature: sig,
		})
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		if out[i], err = assemble(signed, chain); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// isBatched tells the two forms of a signed part from each other: an array of
// five, and a tagged message.
func isBatched(signed []byte) bool { return len(signed) > 0 && signed[0] == 0x85 }

// readBatched takes a batched record apart, without a copy: a look-up reads five.
func readBatched(signed []byte) (*batched, error) {
	p := new(batched)
	var sig []byte
	rest, errs := signed[1:], [5]error{}
	p.Body, rest, errs[0] = canon.Bytes(rest)
	p.Index, rest, errs[1] = canon.Small(rest)
	p.Size, rest, errs[2] = canon.Small(rest)
	p.Path, rest, errs[3] = canon.Bytes(rest)
	sig, rest, errs[4] = canon.Bytes(rest)
	for _, err := range errs {
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
	}
	if len(sig) != len(p.Signature) || len(rest) > 0 {
		return nil, fmt.Errorf("%w: a signature of %d bytes, and %d bytes behind it", ErrMalformed, len(sig), len(rest))
	}
	copy(p.Signature[:], sig)
	if p.Size < 2 || p.Size > MaxBatch {
		return nil, fmt.Errorf("%w: one of a batch of %d", ErrMalformed, p.Size)
	}
	return p, nil
}

// verify checks that key has signed the root to which the path leads. A root
// that t has met before costs hashes only: the records of one batch cost one
// signature.
func (p *batched) verify(key identity.PublicKey, t *identity.Trust) error {
	root, ok := rootFrom(leafHash(p.Body), int(p.Index), int(p.Size), p.Path)
	if !ok {
		return fmt.Errorf("%w: %d bytes are no path to record %d of %d", ErrMalformed, len(p.Path), p.Index, p.Size)
	}
	name := p.name(key, root)
	if met, ok := t.Recall(name); ok {
		if _, ok := met.(batchRoot); ok {
			return nil
		}
	}
	signed := batchRoot{Size: p.Size, Root: root}
	payload, err := canon.Marshal(signed)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	t.Checks()
	if err := canon.VerifyDetached(key.Ed25519(), contextBatch, payload, &p.Signature); err != nil {
		return fmt.Errorf("%w: %w", identity.ErrUntrusted, err)
	}
	t.Remember(name, signed)
	return nil
}

// name is the hash of all that the check of a root's signature depends on.
func (p *batched) name(key identity.PublicKey, root treeHash) [sha256.Size]byte {
	b := make([]byte, 0, 2+len(contextBatch)+len(key)+len(root)+len(p.Signature)+1)
	b = binary.BigEndian.AppendUint16(b, uint16(len(contextBatch)))
	b = append(append(b, contextBatch...), key[:]...)
	b = append(append(append(b, p.Size), root[:]...), p.Signature[:]...)
	return sha256.Sum256(b)
}
