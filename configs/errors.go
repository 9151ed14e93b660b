package configs

import "errors"

var (
	// ErrInvalid: a configuration breaks a rule. The error is an *Error.
	ErrInvalid = errors.New("the configuration is not valid")
	// ErrRead: the configuration file cannot be read.
	ErrRead = errors.New("cannot read the configuration file")
)
