package message

import "errors"

var (
	// ErrNotSIP: the bytes do not begin like a SIP message; they deserve no answer.
	ErrNotSIP = errors.New("not a SIP message")
	// ErrMalformed: SIP, but broken. A request may still be answered with 400
	// if it has a Via.
	ErrMalformed = errors.New("malformed SIP")
	// ErrTooLong: a message on a stream is, or says that it will be, longer
	// than what is taken. A request may be answered with 513.
	ErrTooLong = errors.New("the message is too long")
)

// malformed is an ErrMalformed with a text for the Warning header. The texts
// are constants: nothing of the message's own is in them.
type malformed string

func (m malformed) Error() string { return string(m) }
func (m malformed) Unwrap() error { return ErrMalformed }
