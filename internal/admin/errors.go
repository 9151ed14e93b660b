package admin

import (
	"errors"
	"fmt"
	"net/http"
)

var (
	// ErrRunning: another daemon works on this state folder.
	ErrRunning = errors.New("another secp2psip runs on this state folder")
	// ErrUnreachable: no daemon answers on this state folder.
	ErrUnreachable = errors.New("no secp2psip answers on this state folder")
	// ErrSocket: the socket cannot be made or opened.
	ErrSocket = errors.New("cannot use the admin socket")
)

// Code says in one word what went wrong, for programs.
type Code string

// The codes.
const (
	CodeBadRequest    Code = "bad_request"    // the request's own fault
	CodeNotFound      Code = "not_found"      // no such name, invitation, …
	CodeRefused       Code = "refused"        // understood and not allowed
	CodeUnavailable   Code = "unavailable"    // not now: starting, ring down, timeout
	CodeUnknownMethod Code = "unknown_method" // this daemon has no such method
	CodeInternal      Code = "internal"       // everything else
)

// Error is a method's failure as it crosses the socket.
type Error struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`        // one sentence
	Hint    string `json:"hint,omitempty"` // what to do about it
}

// Errorf returns an Error without a hint.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// WithHint returns a copy of e that says what to do.
func (e *Error) WithHint(hint string) *Error {
	c := *e
	c.Hint = hint
	return &c
}

// Error returns the message alone.
func (e *Error) Error() string { return e.Message }

func (e *Error) status() int {
	switch e.Code {
	case CodeBadRequest:
		return http.StatusBadRequest
	case CodeNotFound, CodeUnknownMethod:
		return http.StatusNotFound
	case CodeRefused:
		return http.StatusForbidden
	case CodeUnavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// asError turns whatever a handler returned into an Error. A handler's error
// may bring its own hint.
func asError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	e = &Error{Code: CodeInternal, Message: err.Error()}
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		e.Hint = h.Hint()
	}
	return e
}
