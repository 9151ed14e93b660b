package wire

import "github.com/secp2psip/secp2psip/internal/identity"

// TextAck answers Text. The receiver's device signs the TextAckBody under the
// context "secp2psip/1 message ack".
//
//	[ signed, delegation: signed, chain: cert*3 ]
type TextAck struct {
	_          struct{}                  `cbor:",toarray"`
	Signed     []byte                    // TextAckBody, ≤ MaxSigned
	Delegation identity.SignedDelegation // of the account key to the device key, ≤ MaxDelegation
	Chain      [][]byte                  // account certificate, issuer certificate
}

// Type implements Message.
func (*TextAck) Type() Type { return TypeTextAck }

func (m *TextAck) check() error {
	return firstError(
		checkFull("signed", m.Signed, MaxSigned),
		checkFull("delegation", m.Delegation, MaxDelegation),
		checkChain(m.Chain),
	)
}

// SignTextAck signs b with the device key that it names.
func SignTextAck(b TextAckBody, device identity.PrivateKey, d identity.SignedDelegation, chain [][]byte) (*TextAck, error) {
	signed, err := seal(&b, contextTextAck, device)
	if err != nil {
		return nil, err
	}
	return &TextAck{Signed: signed, Delegation: d, Chain: chain}, nil
}

// Body returns the body, its signature unseen: to find out whom to ask about.
func (m *TextAck) Body() (TextAckBody, error) { return peek[TextAckBody](contextTextAck, m.Signed) }

// Open returns the body if device has signed it, else ErrForged. That the body
// names device as well, the caller need not check.
func (m *TextAck) Open(device identity.PublicKey) (TextAckBody, error) {
	b, err := open[TextAckBody](contextTextAck, m.Signed, device)
	if err != nil {
		return TextAckBody{}, err
	}
	return b, namesKey(b.Device, device)
}
