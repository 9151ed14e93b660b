package wire

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"net/netip"

	"github.com/secp2psip/secp2psip/internal/identity"
)

// RegisterBody is what a newcomer asks for and proves possession over.
//
//	[ name: text, number: text, account: key, device: key, node: key,
//	  nonce: bytes .size 32, exporter: bytes .size 32,
//	  invitation: bytes*64, MAC: bytes .size 32, addresses: addr*8, software: text ]
//
// A person's first device brings the account key and no MAC. A further device
// has no account key: its account field is zero, and the MAC shows a first
// device, which keeps the invitation, that the newcomer holds it too.
type RegisterBody struct {
	_          struct{}           `cbor:",toarray"`
	AOR        string             // "sip:user@overlay"
	Number     string             // digits that ring this name too; "" = none
	Account    identity.PublicKey // zero on a further device
	Device     identity.PublicKey
	Node       identity.PublicKey
	Nonce      [32]byte         // of the EnrolChallenge
	Exporter   [32]byte         // TLS exporter of the enrolment connection
	Invitation []byte           // the invitation's secret, 16 to 64 bytes; empty in open mode
	MAC        [32]byte         // InvitationMAC on a further device, else zero
	Addrs      []netip.AddrPort // where the node will listen
	Software   string           // ≤ MaxToken, for the operator's list
}

// Further tells whether the body asks to admit a further device of a name that
// is enrolled.
func (b *RegisterBody) Further() bool { return b.Account == identity.PublicKey{} }

func (b *RegisterBody) check() error {
	if len(b.Invitation) > 0 && len(b.Invitation) < MinInvitation {
		return fmt.Errorf("%w: invitation of %d bytes", ErrMalformed, len(b.Invitation))
	}
	if b.Further() != (b.MAC != [32]byte{}) {
		return fmt.Errorf("%w: either an account key or an invitation's MAC is needed", ErrMalformed)
	}
	if b.Device == b.Node || b.Device == b.Account || b.Node == b.Account {
		return fmt.Errorf("%w: account, device and node need a key each", ErrMalformed)
	}
	return firstError(
		checkAOR("name", b.AOR),
		checkText("number", b.Number, MaxNumber),
		checkBytes("invitation", b.Invitation, MaxInvitation),
		checkAddrs(b.Addrs),
		checkText("software", b.Software, MaxToken),
	)
}

// InvitationMAC returns HMAC-SHA256(secret, device ‖ node ‖ nonce), by which a
// further device shows that it holds the invitation.
func InvitationMAC(secret []byte, device, node identity.PublicKey, nonce [32]byte) [32]byte {
	h := hmac.New(sha256.New, secret)
	h.Write(device[:])
	h.Write(node[:])
	h.Write(nonce[:])
	return [32]byte(h.Sum(nil))
}
