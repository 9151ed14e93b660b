package chord

import (
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// Verdict is what a Verifier says of a descriptor.
type Verdict uint8

// The verdicts.
const (
	VerdictForged  Verdict = iota // the certificate does not lead to the root, or the signature does not hold
	VerdictUnknown                // the certificate that it names is not known
	VerdictValid
)

// Verifier knows node certificates and checks what their owners have signed. A
// Machine calls it from its step, so it must be quick about what it has been
// asked before. What it is asked about may be a stranger's invention.
type Verifier interface {
	// Verify returns the member that d describes. It may return the same for
	// equal descriptors, and does well to.
	Verify(d *wire.Descriptor) (*Member, Verdict)
	// VerifyNotice reports whether the node that witness describes, which has
	// been verified, has signed n.
	VerifyNotice(n *wire.Notice, witness *wire.Descriptor) bool
	// Learn takes in certificates. Those that do not verify are dropped.
	Learn(c *wire.Certificates)
	// Certificates returns those of the named certificates that it has.
	Certificates(hashes []wire.CertHash) *wire.Certificates
}

// Signer signs with the node's own key.
type Signer interface {
	// SignDescriptor names the node's certificate in d and signs it.
	SignDescriptor(d wire.Descriptor) (wire.Descriptor, error)
	SignNotice(n wire.Notice) (wire.Notice, error)
}

// NewMember returns the member that a verified descriptor describes. It keeps d,
// which must not change any more.
func NewMember(d *wire.Descriptor, owner identity.OwnerTag) *Member {
	return &Member{Peer: wire.Peer{ID: d.ID, Owner: owner, Addrs: d.Addrs}, Desc: d}
}
