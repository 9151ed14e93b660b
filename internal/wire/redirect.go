package wire

import (
	"crypto/sha256"

	"github.com/secp2psip/secp2psip/internal/identity"
)

// Redirect answers Invite, and it alone ends a call that fails. The callee's
// device signs the RedirectBody under the context "secp2psip/1 redirect".
//
//	[ signed, delegation: signed, chain: cert*3 ]
type Redirect struct {
	_          struct{}                  `cbor:",toarray"`
	Signed     []byte                    // RedirectBody, ≤ MaxSigned
	Delegation identity.SignedDelegation // of the account key to the device key, ≤ MaxDelegation
	Chain      [][]byte                  // account certificate, issuer certificate
}

// Type implements Message.
func (*Redirect) Type() Type { return TypeRedirect }

func (m *Redirect) check() error {
	return firstError(
		checkFull("signed", m.Signed, MaxSigned),
		checkFull("delegation", m.Delegation, MaxDelegation),
		checkChain(m.Chain),
	)
}

// SignRedirect signs b with the device key that it names.
func SignRedirect(b RedirectBody, device identity.PrivateKey, d identity.SignedDelegation, chain [][]byte) (*Redirect, error) {
	signed, err := seal(&b, contextRedirect, device)
	if err != nil {
		return nil, err
	}
	return &Redirect{Signed: signed, Delegation: d, Chain: chain}, nil
}

// Hash returns SHA-256 over the signed body, to which a protected call is bound.
func (m *Redirect) Hash() [32]byte { return sha256.Sum256(m.Signed) }

// Body returns the body, its signature unseen: to find out whom to ask about.
func (m *Redirect) Body() (RedirectBody, error) { return peek[RedirectBody](contextRedirect, m.Signed) }

// Open returns the body if device has signed it, else ErrForged. That the body
// names device as well, the caller need not check.
func (m *Redirect) Open(device identity.PublicKey) (RedirectBody, error) {
	b, err := open[RedirectBody](contextRedirect, m.Signed, device)
	if err != nil {
		return RedirectBody{}, err
	}
	return b, namesKey(b.Device, device)
}
