package wire

import (
	"crypto/sha256"

	"github.com/secp2psip/secp2psip/internal/identity"
)

// Invite asks the callee's adapter, end to end, where to call; the answer is
// Redirect, Challenge or Error. The caller's device signs the InviteBody under
// the context "secp2psip/1 invite".
//
//	[ signed, delegation: signed, chain: cert*3 ]
type Invite struct {
	_          struct{}                  `cbor:",toarray"`
	Signed     []byte                    // InviteBody, ≤ MaxSigned
	Delegation identity.SignedDelegation // of the account key to the device key, ≤ MaxDelegation
	Chain      [][]byte                  // account certificate, issuer certificate
}

// Type implements Message.
func (*Invite) Type() Type { return TypeInvite }

func (m *Invite) check() error {
	return firstError(
		checkFull("signed", m.Signed, MaxSigned),
		checkFull("delegation", m.Delegation, MaxDelegation),
		checkChain(m.Chain),
	)
}

// SignInvite signs b with the device key that it names.
func SignInvite(b InviteBody, device identity.PrivateKey, d identity.SignedDelegation, chain [][]byte) (*Invite, error) {
	signed, err := seal(&b, contextInvite, device)
	if err != nil {
		return nil, err
	}
	return &Invite{Signed: signed, Delegation: d, Chain: chain}, nil
}

// Body returns the body, its signature unseen: to find out whom to ask about.
func (m *Invite) Body() (InviteBody, error) { return peek[InviteBody](contextInvite, m.Signed) }

// Open returns the body if device has signed it, else ErrForged. That the body
// names device as well, the caller need not check.
func (m *Invite) Open(device identity.PublicKey) (InviteBody, error) {
	b, err := open[InviteBody](contextInvite, m.Signed, device)
	if err != nil {
		return InviteBody{}, err
	}
	return b, namesKey(b.Device, device)
}

// Hash returns SHA-256 over the signed body, which the Redirect repeats.
func (m *Invite) Hash() [32]byte { return sha256.Sum256(m.Signed) }
