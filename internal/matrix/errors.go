package matrix

import "errors"

var (
	// ErrTable is what a table that cannot be read brings.
	ErrTable = errors.New("the table of rows cannot be read")
	// ErrFailed is what tests that failed bring, or packages that did not build.
	ErrFailed = errors.New("tests failed")
	// ErrUncovered is what a covered row without a passing test brings.
	ErrUncovered = errors.New("a row that docs/security.md calls covered is not")
	// ErrSwitch is what a defence brings that cannot be switched off as described.
	ErrSwitch = errors.New("a defence cannot be switched off")
	// ErrUndefended is what an attack test brings that passes without its defence.
	ErrUndefended = errors.New("attack tests that do not fail without their defence")
)
