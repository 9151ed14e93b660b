package wire

// Protect opens a long-lived stream for one protected call: as Carry, with the
// call's media in datagrams beside it. The proof shows that the opener knows
// the very exchange that the token belongs to, on this link:
//
//	HMAC-SHA256(key: TLS exporter of the link,
//	            "secp2psip/1 protected proof" ‖ SHA-256 of Invite's signed ‖ SHA-256 of Redirect's signed)
//
//	[ token: bytes .size 16, proof: bytes .size 32 ]
type Protect struct {
	_     struct{} `cbor:",toarray"`
	Token [16]byte // of the Redirect
	Proof [32]byte
}

// Type implements Message.
func (*Protect) Type() Type { return TypeProtect }

func (*Protect) check() error { return nil }
