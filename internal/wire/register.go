package wire

import (
	"bytes"
	"fmt"

	"github.com/secp2psip/secp2psip/internal/identity"
)

// Register asks the bootstrap server to enrol; the answer is Registered. The
// same RegisterBody is signed by each of the keys that it names: proof of
// possession, under the context "secp2psip/1 register".
//
//	[ by account: signed (empty on a further device), by device: signed, by node: signed ]
type Register struct {
	_         struct{} `cbor:",toarray"`
	ByAccount []byte
	ByDevice  []byte
	ByNode    []byte
}

// Type implements Message.
func (*Register) Type() Type { return TypeRegister }

func (m *Register) check() error {
	return firstError(
		checkBytes("by account", m.ByAccount, MaxSigned),
		checkFull("by device", m.ByDevice, MaxSigned),
		checkFull("by node", m.ByNode, MaxSigned),
	)
}

// SignRegister signs b with each key; account is nil on a further device. The
// keys' public halves must be those in b.
func SignRegister(b RegisterBody, account *identity.PrivateKey, device, node identity.PrivateKey) (*Register, error) {
	if b.Further() != (account == nil) {
		return nil, fmt.Errorf("sign register: %w: account key and body do not agree", ErrMalformed)
	}
	var m Register
	var err error
	if account != nil {
		if m.ByAccount, err = seal(&b, contextRegister, *account); err != nil {
			return nil, err
		}
	}
	if m.ByDevice, err = seal(&b, contextRegister, device); err != nil {
		return nil, err
	}
	if m.ByNode, err = seal(&b, contextRegister, node); err != nil {
		return nil, err
	}
	return &m, nil
}

// Verify returns the body if every key in it has signed it and it answers this
// nonce on the connection of this exporter. It returns ErrMalformed or
// ErrForged.
func (m *Register) Verify(nonce, exporter [32]byte) (RegisterBody, error) {
	b, err := peek[RegisterBody](contextRegister, m.ByNode)
	if err != nil {
		return RegisterBody{}, err
	}
	if b.Nonce != nonce || b.Exporter != exporter {
		return RegisterBody{}, fmt.Errorf("verify register: %w: it belongs to another connection", ErrForged)
	}
	if b.Further() != (len(m.ByAccount) == 0) {
		return RegisterBody{}, fmt.Errorf("verify register: %w: no proof of the account key", ErrForged)
	}
	payload, err := b.Node.Verify(contextRegister, m.ByNode)
	if err != nil {
		return RegisterBody{}, fmt.Errorf("verify register by node: %w: %w", ErrForged, err)
	}
	if err := samePayload(contextRegister, b.Device, m.ByDevice, payload); err != nil {
		return RegisterBody{}, fmt.Errorf("verify register by device: %w", err)
	}
	if b.Further() {
		return b, nil
	}
	if err := samePayload(contextRegister, b.Account, m.ByAccount, payload); err != nil {
		return RegisterBody{}, fmt.Errorf("verify register by account: %w", err)
	}
	return b, nil
}

// samePayload checks that key has signed exactly payload.
func samePayload(context string, key identity.PublicKey, msg, payload []byte) error {
	got, err := key.Verify(context, msg)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrForged, err)
	}
	if !bytes.Equal(got, payload) {
		return fmt.Errorf("%w: another body", ErrForged)
	}
	return nil
}
