package wire

import "github.com/secp2psip/secp2psip/internal/identity"

// TextAckBody tells what became of a Text.
//
//	[ text: bytes .size 32, time, exporter: bytes .size 32, device: key, status: uint, reason: text ]
type TextAckBody struct {
	_        struct{}           `cbor:",toarray"`
	TextHash [32]byte           // SHA-256 of the Text's signed body
	Time     int64              // overlay time, ms
	Exporter [32]byte           // TLS exporter of the link
	Device   identity.PublicKey // the receiver's, which signs
	Status   uint16             // SIP status: 200, or the refusal
	Reason   string             // ≤ MaxReason
}

func (b *TextAckBody) check() error { return checkText("reason", b.Reason, MaxReason) }
