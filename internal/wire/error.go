package wire

import "fmt"

// Error answers a request that is not served. It ends no call: only the
// callee's signed Redirect does.
//
//	[ code: uint, reason: text, retry: uint (milliseconds, 0 = do not) ]
type Error struct {
	_      struct{} `cbor:",toarray"`
	Code   Code
	Reason string // ≤ MaxReason, for people
	Retry  uint32 // ms to wait before the same request may succeed; 0 = unknown
}

// Code says why a request was not served. The numbers follow SIP's (RFC 3261
// §21) where one fits.
type Code uint16

// The codes.
const (
	CodeMalformed    Code = 400 // the request could not be read
	CodeUnauthorized Code = 401 // a proof is missing or does not hold
	CodeForbidden    Code = 403 // this peer may not ask this
	CodeNotFound     Code = 404 // no such thing here
	CodeConflict     Code = 409 // taken, or contradicts what is stored
	CodeGone         Code = 410 // used up or expired
	CodeTooLarge     Code = 413 // the answer would not fit a message
	CodeTooMany      Code = 429 // over a limit; Retry says how long
	CodeInternal     Code = 500 // it failed here
	CodeUnsupported  Code = 501 // a message that this node does not serve
	CodeUnavailable  Code = 503 // not now: starting, leaving, or full
	CodeTimeout      Code = 504 // another node did not answer in time
)

// Type implements Message.
func (*Error) Type() Type { return TypeError }

func (m *Error) check() error { return checkText("reason", m.Reason, MaxReason) }

// Errorf returns an Error whose reason is formatted, cut to MaxReason bytes and
// freed of control characters.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Reason: cleanText(fmt.Sprintf(format, args...), MaxReason)}
}
