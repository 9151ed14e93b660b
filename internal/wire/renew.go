package wire

import (
	"fmt"

	"github.com/secp2psip/secp2psip/internal/identity"
)

// Renew asks the bootstrap server for fresh certificates and shares; the answer
// is Registered. It travels on a ring link, which proves the node key. The
// RenewBody is signed by the account key, or by the device key on a device that
// has no account key, under the context "secp2psip/1 renew".
//
//	[ signed ]
type Renew struct {
	_      struct{} `cbor:",toarray"`
	Signed []byte
}

// RenewBody is what a renewal is asked for.
//
//	[ name: text, account: key, device: key, node: id, time, exporter: bytes .size 32 ]
type RenewBody struct {
	_        struct{} `cbor:",toarray"`
	AOR      string
	Account  identity.PublicKey // zero on a device without the account key
	Device   identity.PublicKey
	Node     identity.NodeID // of the node at this end of the link
	Time     int64           // overlay time, ms
	Exporter [32]byte        // TLS exporter of the link
}

// Type implements Message.
func (*Renew) Type() Type { return TypeRenew }

func (m *Renew) check() error { return checkFull("signed", m.Signed, MaxSigned) }

func (b *RenewBody) check() error {
	if b.Device == (identity.PublicKey{}) || b.Device == b.Account {
		return fmt.Errorf("%w: the device needs a key of its own", ErrMalformed)
	}
	return checkAOR("name", b.AOR)
}

// signer returns the key that must have signed b.
func (b *RenewBody) signer() identity.PublicKey {
	if b.Account == (identity.PublicKey{}) {
		return b.Device
	}
	return b.Account
}

// SignRenew signs b with the account key, or with the device key where b names
// no account key.
func SignRenew(b RenewBody, key identity.PrivateKey) (*Renew, error) {
	signed, err := seal(&b, contextRenew, key)
	if err != nil {
		return nil, err
	}
	return &Renew{Signed: signed}, nil
}

// Verify returns the body if the key that it names has signed it for the link of
// this exporter. Whose key that is, the caller must know.
func (m *Renew) Verify(exporter [32]byte) (RenewBody, error) {
	b, err := peek[RenewBody](contextRenew, m.Signed)
	if err != nil {
		return RenewBody{}, err
	}
	if b.Exporter != exporter {
		return RenewBody{}, fmt.Errorf("verify renew: %w: it belongs to another link", ErrForged)
	}
	return open[RenewBody](contextRenew, m.Signed, b.signer())
}
