package wire

import "github.com/secp2psip/secp2psip/internal/identity"

// InviteVersion is the version of the call exchange that this package speaks.
const InviteVersion = 1

// InviteBody is one call attempt, bound to both people, both nodes and the link.
//
//	[ version: uint, caller: text, callee: text, caller's node: id, callee's node: id,
//	  Call-ID: text, nonce: bytes .size 16, time, exporter: bytes .size 32,
//	  paths: text*8, device: key, challenge: bytes .size 16 ]
type InviteBody struct {
	_          struct{} `cbor:",toarray"`
	Version    uint8    // InviteVersion
	Caller     string   // "sip:user@overlay"
	Callee     string
	CallerNode identity.NodeID
	CalleeNode identity.NodeID
	CallID     string             // ≤ MaxCallID, of the caller's phone
	Nonce      [16]byte           // random, never used again
	Time       int64              // overlay time, ms
	Exporter   [32]byte           // TLS exporter of the link between the two nodes
	Paths      []string           // acceptable call paths, best first
	Device     identity.PublicKey // the caller's, which signs
	Challenge  [16]byte           // nonce of a Challenge that this answers, else zero
}

func (b *InviteBody) check() error {
	return firstError(
		checkAOR("caller", b.Caller),
		checkAOR("callee", b.Callee),
		checkText("Call-ID", b.CallID, MaxCallID),
		checkPaths(b.Paths),
	)
}
