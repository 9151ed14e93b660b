package wire

import "github.com/secp2psip/secp2psip/internal/identity"

// EnrolChallenge answers EnrolStart. The newcomer knows the root certificate's
// fingerprint from its join link and checks all else against it.
//
//	[ nonce: bytes .size 32, charter: signed, root: cert, issuer: cert, open: bool ]
type EnrolChallenge struct {
	_       struct{}               `cbor:",toarray"`
	Nonce   [32]byte               // random; the Register body repeats it, on the same connection
	Charter identity.SignedCharter // ≤ MaxCharter
	Root    []byte                 // DER, ≤ MaxCertificate
	Issuer  []byte                 // DER, ≤ MaxCertificate
	Open    bool                   // names are given without an invitation
}

// Type implements Message.
func (*EnrolChallenge) Type() Type { return TypeEnrolChallenge }

func (m *EnrolChallenge) check() error {
	return firstError(
		checkFull("charter", m.Charter, MaxCharter),
		checkFull("root", m.Root, MaxCertificate),
		checkFull("issuer", m.Issuer, MaxCertificate),
	)
}
