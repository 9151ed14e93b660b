package simnet

import "errors"

// ErrConfig means that a run cannot be as it was asked for.
var ErrConfig = errors.New("simnet: bad configuration")

// errSilent is what a caller gets when no answer came in time.
var errSilent = errors.New("simnet: no answer")
