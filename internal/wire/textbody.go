package wire

import "github.com/secp2psip/secp2psip/internal/identity"

// TextBody is one message from person to person, bound as an InviteBody is.
//
//	[ caller: text, callee: text, caller's node: id, callee's node: id, Call-ID: text,
//	  nonce: bytes .size 16, time, exporter: bytes .size 32, device: key,
//	  challenge: bytes .size 16, content type: text, body: bytes ]
type TextBody struct {
	_           struct{} `cbor:",toarray"`
	Caller      string
	Callee      string
	CallerNode  identity.NodeID
	CalleeNode  identity.NodeID
	CallID      string             // ≤ MaxCallID, of the sender's phone
	Nonce       [16]byte           // random, never used again
	Time        int64              // overlay time, ms
	Exporter    [32]byte           // TLS exporter of the link
	Device      identity.PublicKey // the sender's, which signs
	Challenge   [16]byte           // nonce of a Challenge that this answers, else zero
	ContentType string             // ≤ MaxToken
	Body        []byte             // ≤ MaxTextBody
}

func (b *TextBody) check() error {
	return firstError(
		checkAOR("caller", b.Caller),
		checkAOR("callee", b.Callee),
		checkText("Call-ID", b.CallID, MaxCallID),
		checkText("content type", b.ContentType, MaxToken),
		checkBytes("body", b.Body, MaxTextBody),
	)
}
