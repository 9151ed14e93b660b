// Package carry takes SIP calls across the link between two adapters.
//
// A phone's INVITE goes through a tunnel to the callee's adapter, which rings
// its own phones. Each adapter is a call-stateful proxy towards its own phone
// (RFC 3261 §16) that writes anew whatever names a place: Via, Route,
// Record-Route, Contact, the Request-URI and the URIs in From and To. What
// ties a call together passes untouched: Call-ID, tags, CSeq, and the bodies
// but for loopback addresses in session descriptions. So each phone talks to
// its adapter only, sees nothing of the other phone's host, and features that
// name dialogs (Replaces, transfers) still work.
//
//	phone A            adapter A ═════ tunnel ═════ adapter B          phone B
//	   │ INVITE ────────► │ 100                         │                 │
//	   │                  │ request 1: INVITE ────────► │ INVITE ───────► │
//	   │ ◄──────────── 180│ ◄────────── response 1: 180 │ ◄────────── 180 │
//	   │ ◄──────────── 200│ ◄────────── response 1: 200 │ ◄────────── 200 │
//	   │ ACK ───────────► │ request 0: ACK ───────────► │ ACK ──────────► │
//	   │                  │ ◄──────────── request 1: BYE│ ◄────────── BYE │
//
// A tunnel carries frames of at most MaxFrame bytes, in order:
//
//	byte 0      kind: 1 request, 2 response, 3 cancel
//	bytes 1–8   number, big-endian
//	bytes 9–    payload
//
// A request's payload is a SIP request without Via, Route, Record-Route and
// Contact, its Request-URI, From and To being overlay names. Each direction
// numbers its requests upwards from 1; a later one has a higher number. An
// ACK, which is sent only for a 2xx, has number 0. A response's payload is a
// SIP response without Via; its number is the request's. A cancel withdraws
// the INVITE of that number, and its payload is a Reason value (RFC 3326) or
// empty. Messages have CRLF lines, no folding, no control characters and a
// Content-Length that is exact. Header fields other than those of the list in
// crosses do not cross. The ACK for other final answers, CANCEL's own answer
// and 100 belong to one hop and never cross.
//
// The receiving side trusts the tunnel with nothing but what was said: the
// caller's name comes from the signed exchange, every message must have the
// call's Call-ID and tags, and what does not fit is dropped and counted. When
// the tunnel closes in a call, each adapter hangs up its own phone.
//
// Redirections (3xx) of the callee's phone reach the caller's phone as its
// final answer, with only those contacts that are names of this overlay: the
// caller's adapter resolves and verifies them like any dialled name. Where
// none is left the caller gets 480. A phone's own challenge (401, 407) becomes
// a 403: nobody at the other end could answer it.
package carry

// Bounds of one engine and one call.
const (
	// MaxFrame is the largest frame that crosses a tunnel, in bytes.
	MaxFrame = 60 << 10
	// MaxTargets is the number of phones that one call rings.
	MaxTargets = 8
	// MaxBranches is the number of adapters of one callee that one call rings.
	MaxBranches = 8
)
