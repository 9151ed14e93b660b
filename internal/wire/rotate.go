package wire

import (
	"fmt"

	"github.com/secp2psip/secp2psip/internal/identity"
)

// Rotate gives up a key for a new one. To the bootstrap server it is about an
// account or a device key, and the answer is Registered; a device that another
// one admitted asks that one for a delegation of its new device key, and the
// answer is Delegated. It travels on a ring link, which proves the node key.
// Both keys have signed the same RotateBody under the context
// "secp2psip/1 rotate"; of an account key the new one alone, since the rotations
// in the body are the old one's word.
//
//	[ by old: signed or empty, by new: signed ]
type Rotate struct {
	_     struct{} `cbor:",toarray"`
	ByOld []byte
	ByNew []byte
}

// RotateBody says which key follows which.
//
//	[ name: text, old: key, new: key, device: key, node: id, part: uint, time,
//	  exporter: bytes .size 32, rotation: bytes ≤432 ]
type RotateBody struct {
	_        struct{} `cbor:",toarray"`
	AOR      string
	Old, New identity.PublicKey
	Device   identity.PublicKey // that this node signs calls with; Old, where it is the device key that changes
	Node     identity.NodeID    // of the node at this end of the link
	Part     uint64             // of this device
	Time     int64              // overlay time, ms
	Exporter [32]byte           // TLS exporter of the link
	Rotation []byte             // of an account key: the statements that led from the key that the server may know to New; see identity.Rotation
}

// maxRotation bounds the rotations in a RotateBody, in bytes.
const maxRotation = 432

// Type implements Message.
func (*Rotate) Type() Type { return TypeRotate }

func (m *Rotate) check() error {
	if err := checkBytes("by old", m.ByOld, MaxSigned); err != nil {
		return err
	}
	return checkFull("by new", m.ByNew, MaxSigned)
}

func (b *RotateBody) check() error {
	none := identity.PublicKey{}
	switch {
	case b.Old == none || b.New == none || b.Old == b.New || b.New == b.Device || b.Device == none:
		return fmt.Errorf("%w: a rotation needs two keys, and the device one of its own", ErrMalformed)
	case len(b.Rotation) > maxRotation:
		return outOfBound("rotation", len(b.Rotation), maxRotation)
	case (len(b.Rotation) == 0) != (b.Old == b.Device):
		return fmt.Errorf("%w: only an account key has a rotation", ErrMalformed)
	}
	return checkAOR("name", b.AOR)
}

// SignRotate signs b with both keys, that of an account with the new one only.
func SignRotate(b RotateBody, old, fresh identity.PrivateKey) (*Rotate, error) {
	byNew, err := seal(&b, contextRotate, fresh)
	if err != nil || len(b.Rotation) > 0 {
		return &Rotate{ByNew: byNew}, err
	}
	byOld, err := seal(&b, contextRotate, old)
	return &Rotate{ByOld: byOld, ByNew: byNew}, err
}

// Verify returns the body if the keys that it names have signed it for the link
// of this exporter. Whose keys those are, and whether rotations lead from one to
// the other, the caller must see.
func (m *Rotate) Verify(exporter [32]byte) (RotateBody, error) {
	b, err := peek[RotateBody](contextRotate, m.ByNew)
	if err != nil {
		return RotateBody{}, err
	}
	if b.Exporter != exporter {
		return RotateBody{}, fmt.Errorf("verify rotate: %w: it belongs to another link", ErrForged)
	}
	payload, err := b.New.Verify(contextRotate, m.ByNew)
	if err != nil {
		return RotateBody{}, fmt.Errorf("verify rotate: %w: %w", ErrForged, err)
	}
	if len(b.Rotation) == 0 {
		err = samePayload(contextRotate, b.Old, m.ByOld, payload)
	}
	return b, err
}
