// Package identity says who is who in an overlay: names (AOR), places on the
// ring (NodeID), keys, the certificates that bind them, the delegations of a
// person to devices, the charter that an overlay lives by, and its time.
//
// # Certificates
//
// X.509 (RFC 5280), Ed25519 only (RFC 8410), three levels:
//
//	root     CA, pathlen 1, 20 years    URI urn:secp2psip:overlay:OVERLAY
//	  issuer CA, pathlen 0, 1 year      URI urn:secp2psip:overlay:OVERLAY
//	    account  leaf                   rfc822Name alice@OVERLAY, then 101@OVERLAY if she has a number
//	                                    URI urn:secp2psip:owner:HEX, urn:secp2psip:key-version:N
//	    node     leaf                   URI reload://NODE-ID@OVERLAY (profile of RFC 6940 §11.3)
//	                                    URI urn:secp2psip:owner:HEX, urn:secp2psip:role:bootstrap if it is one
//
// A node certificate names nobody. Bytes of a user part that an rfc822Name
// cannot carry are percent-encoded.
//
// # Signed objects
//
// Charter and delegation are COSE_Sign1 messages as package canon draws them,
// over the arrays that Charter and Delegation list field by field.
package identity

import (
	"fmt"

	"github.com/secp2psip/secp2psip/internal/canon"
)

// MarshalCBOR encodes a as a text string, "sip:user@overlay".
func (a AOR) MarshalCBOR() ([]byte, error) {
	text, err := a.MarshalText()
	if err != nil {
		return nil, err
	}
	return canon.Marshal(string(text))
}

// UnmarshalCBOR reads what MarshalCBOR wrote.
func (a *AOR) UnmarshalCBOR(data []byte) error {
	var text string
	if err := canon.Unmarshal(data, &text); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return a.UnmarshalText([]byte(text))
}
