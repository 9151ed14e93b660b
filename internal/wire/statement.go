package wire

import (
	"fmt"

	"github.com/secp2psip/secp2psip/internal/identity"
)

// MaxStatement bounds a signed Statement, in bytes.
const MaxStatement = 512

// Statement is a holder's signed word on one slot of its store. Two of them
// can show by themselves that one is a lie: see the room evidence.
//
// Run names a short while of one process: it is drawn at random, kept for a
// minute at most, and never taken up again. Revision counts the changes of the
// holder's store within the process; the slot has not changed from Since to
// Revision. So statements of one run are put in order without any clock.
//
//	[ node: id, certificate: bytes .size 16, run: bytes .size 16, since: uint, revision: uint,
//	  resource: id, part: uint, sequence: uint, digest: bytes .size 8, time, nonce: bytes .size 32 ]
type Statement struct {
	_           struct{} `cbor:",toarray"`
	Node        identity.NodeID
	Certificate CertHash
	Run         [16]byte
	Since       uint64
	Revision    uint64
	Resource    identity.NodeID
	Part        uint64
	Seq         uint64            // of the record that is held; 0 = none is
	Digest      [OfferDigest]byte // of that record, as in Offered; zero without one
	Time        int64             // ms, overlay time
	Nonce       [32]byte          // the asker's
}

func (s *Statement) check() error {
	switch {
	case s.Since > s.Revision:
		return fmt.Errorf("%w: a statement since %d at %d", ErrMalformed, s.Since, s.Revision)
	case s.Seq == 0 && s.Digest != [OfferDigest]byte{}:
		return fmt.Errorf("%w: a statement with the digest of nothing", ErrMalformed)
	case s.Time < 0 || s.Time > maxDescriptorTime:
		return fmt.Errorf("%w: a statement of the time %d", ErrMalformed, s.Time)
	}
	return nil
}

// SignStatement returns s, signed by the holder's node key for an overlay.
func SignStatement(s Statement, overlay string, key identity.PrivateKey) ([]byte, error) {
	return seal(&s, contextStatement+" "+overlay, key)
}

// ReadStatement returns what stands in a signed statement, unverified.
func ReadStatement(overlay string, signed []byte) (Statement, error) {
	return peek[Statement](contextStatement+" "+overlay, signed)
}

// OpenStatement returns the statement if key has signed it, else ErrForged.
func OpenStatement(overlay string, signed []byte, key identity.PublicKey) (Statement, error) {
	return open[Statement](contextStatement+" "+overlay, signed, key)
}
