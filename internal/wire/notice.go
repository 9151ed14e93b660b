package wire

import (
	"crypto/ed25519"
	"fmt"

	"github.com/secp2psip/secp2psip/internal/identity"
)

// Notice is a witness's word that a node near it on the ring does not answer:
// it stands for the life that began with Seq and for none after it. One notice
// kills nobody; see Gossip.
//
//	[ subject: id, seq: time, witness: id, signature: bytes .size 64 ]
//
// The signature is made as a Descriptor's, over the first three fields under
// the context "secp2psip/1 notice OVERLAY".
type Notice struct {
	_         struct{} `cbor:",toarray"`
	Subject   identity.NodeID
	Seq       int64 // ms, of the subject's newest descriptor that the witness knows
	Witness   identity.NodeID
	Signature [ed25519.SignatureSize]byte
}

type noticeBody struct {
	_       struct{} `cbor:",toarray"`
	Subject identity.NodeID
	Seq     int64
	Witness identity.NodeID
}

func (n *Notice) body() *noticeBody {
	return &noticeBody{Subject: n.Subject, Seq: n.Seq, Witness: n.Witness}
}

func (n *Notice) check() error {
	if n.Seq < 0 || n.Seq > maxDescriptorTime {
		return fmt.Errorf("%w: a notice of the time %d", ErrMalformed, n.Seq)
	}
	return nil
}

// Size returns the length of the encoding, in bytes.
func (n *Notice) Size() int {
	return 1 + 2*(1+identity.NodeIDLen) + uintSize(uint64(n.Seq)) + 2 + ed25519.SignatureSize
}

// SignNotice returns n, signed by the witness's node key for an overlay.
func SignNotice(n Notice, overlay string, key identity.PrivateKey) (Notice, error) {
	if err := n.check(); err != nil {
		return Notice{}, fmt.Errorf("sign %s: %w", contextNotice, err)
	}
	sig, err := sealShort(n.body(), contextNotice, overlay, key)
	n.Signature = sig
	return n, err
}

// Verify returns ErrForged unless the witness's key has signed n for the
// overlay.
func (n *Notice) Verify(overlay string, key identity.PublicKey) error {
	if err := n.check(); err != nil {
		return fmt.Errorf("verify %s: %w", contextNotice, err)
	}
	return openShort(n.body(), contextNotice, overlay, key, &n.Signature)
}

// Doubt tells a neighbour of the subject that the sender's calls to it have
// failed: the neighbour finds out for itself. Sent to the subject, it is for
// the subject to refute. The answer is Ack.
//
//	[ notice ]
type Doubt struct {
	_      struct{} `cbor:",toarray"`
	Notice Notice
}

// Type implements Message.
func (*Doubt) Type() Type { return TypeDoubt }

func (m *Doubt) check() error { return m.Notice.check() }
