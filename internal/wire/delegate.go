package wire

import (
	"crypto/hmac"
	"fmt"

	"github.com/secp2psip/secp2psip/internal/identity"
)

// Delegate asks a person's first device, from the bootstrap server, to admit a
// further one; the answer is Delegated or Error. The MAC shows that the newcomer
// holds the invitation, so that not even the bootstrap server can make a device
// up. A renewal of a delegation that the first device gave before has no MAC.
//
//	[ name: text, device: key, node key: key, node: id, part: uint,
//	  nonce: bytes .size 32, invitation: bytes .size 32, MAC: bytes .size 32 ]
type Delegate struct {
	_          struct{} `cbor:",toarray"`
	AOR        string
	Device     identity.PublicKey
	NodeKey    identity.PublicKey
	Node       identity.NodeID // the newcomer's, issuer-chosen
	Part       uint64          // its part in the person's records
	Nonce      [32]byte        // of its EnrolChallenge
	Invitation [32]byte        // SHA-256 of the invitation's secret, to find it by
	MAC        [32]byte        // zero = renewal
}

// Type implements Message.
func (*Delegate) Type() Type { return TypeDelegate }

func (m *Delegate) check() error {
	if m.Device == m.NodeKey {
		return fmt.Errorf("%w: device and node need a key each", ErrMalformed)
	}
	return checkAOR("name", m.AOR)
}

// Proves tells whether the newcomer holds this invitation's secret.
func (m *Delegate) Proves(secret []byte) bool {
	want := InvitationMAC(secret, m.Device, m.NodeKey, m.Nonce)
	return hmac.Equal(want[:], m.MAC[:])
}
