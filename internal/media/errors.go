package media

import "errors"

var (
	// ErrMalformed: the bytes are not a session description.
	ErrMalformed = errors.New("malformed session description")
	// ErrTooLong: the session description is longer than MaxSDP.
	ErrTooLong = errors.New("session description too long")
	// ErrHidden: the session description has a second address where none is looked for.
	ErrHidden = errors.New("the session description hides a second address")
	// ErrNoCodec: the offer has no audio stream that the echo test can take.
	ErrNoCodec = errors.New("no common codec")
	// ErrNotCarried: no stream of the description can be relayed.
	ErrNotCarried = errors.New("no stream that this path can carry")
	// ErrBusy: all ports or all places of the echo test are taken.
	ErrBusy = errors.New("the echo test is busy")
)
