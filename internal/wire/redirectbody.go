package wire

import "github.com/secp2psip/secp2psip/internal/identity"

// RedirectBody is the callee's answer: where to call, or why not.
//
//	[ invite: bytes .size 32, caller: text, callee: text, caller's node: id, callee's node: id,
//	  Call-ID: text, nonce: bytes .size 16, time, exporter: bytes .size 32, device: key,
//	  status: uint, reason: text, warning: text, retry: uint, contact: text, paths: text*8,
//	  token: bytes .size 16 ]
type RedirectBody struct {
	_          struct{} `cbor:",toarray"`
	InviteHash [32]byte // SHA-256 of the Invite's signed body
	Caller     string
	Callee     string
	CallerNode identity.NodeID
	CalleeNode identity.NodeID
	CallID     string
	Nonce      [16]byte           // of the Invite
	Time       int64              // overlay time, ms
	Exporter   [32]byte           // TLS exporter of the link
	Device     identity.PublicKey // the callee's, which signs
	Status     uint16             // SIP status: 302, or the refusal
	Reason     string             // ≤ MaxReason
	Warning    string             // ≤ MaxReason, the text of a Warning header; "" = none
	Retry      uint32             // s, for Retry-After; 0 = none
	Contact    string             // ≤ MaxContact, the callee's phone for a direct call; "" = none
	Paths      []string           // call paths offered, best first
	Token      [16]byte           // opens a carried call once; zero = none
}

func (b *RedirectBody) check() error {
	return firstError(
		checkAOR("caller", b.Caller),
		checkAOR("callee", b.Callee),
		checkText("Call-ID", b.CallID, MaxCallID),
		checkText("reason", b.Reason, MaxReason),
		checkText("warning", b.Warning, MaxReason),
		checkText("contact", b.Contact, MaxContact),
		checkPaths(b.Paths),
	)
}
