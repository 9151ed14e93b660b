package wire

import (
	"crypto/sha256"

	"github.com/secp2psip/secp2psip/internal/identity"
)

// Text is a page-mode message (RFC 3428) between two adapters; the answer is
// TextAck, Challenge or Error. The sender's device signs the TextBody under the
// context "secp2psip/1 message".
//
//	[ signed, delegation: signed, chain: cert*3 ]
type Text struct {
	_          struct{}                  `cbor:",toarray"`
	Signed     []byte                    // TextBody, ≤ MaxSignedText
	Delegation identity.SignedDelegation // of the account key to the device key, ≤ MaxDelegation
	Chain      [][]byte                  // account certificate, issuer certificate
}

// Type implements Message.
func (*Text) Type() Type { return TypeText }

func (m *Text) check() error {
	return firstError(
		checkFull("signed", m.Signed, MaxSignedText),
		checkFull("delegation", m.Delegation, MaxDelegation),
		checkChain(m.Chain),
	)
}

// SignText signs b with the device key that it names.
func SignText(b TextBody, device identity.PrivateKey, d identity.SignedDelegation, chain [][]byte) (*Text, error) {
	signed, err := seal(&b, contextText, device)
	if err != nil {
		return nil, err
	}
	return &Text{Signed: signed, Delegation: d, Chain: chain}, nil
}

// Body returns the body, its signature unseen: to find out whom to ask about.
func (m *Text) Body() (TextBody, error) { return peek[TextBody](contextText, m.Signed) }

// Open returns the body if device has signed it, else ErrForged. That the body
// names device as well, the caller need not check.
func (m *Text) Open(device identity.PublicKey) (TextBody, error) {
	b, err := open[TextBody](contextText, m.Signed, device)
	if err != nil {
		return TextBody{}, err
	}
	return b, namesKey(b.Device, device)
}

// Hash returns SHA-256 over the signed body, which the TextAck repeats.
func (m *Text) Hash() [32]byte { return sha256.Sum256(m.Signed) }
