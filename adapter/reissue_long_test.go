//go:build long

package adapter_test

import (
	"testing"
)

// TestLongIssuingKeyIsReplacedInTheGrace: see TestIssuingKeyIsReplacedInTheGrace,
// in a ring of nine.
func TestLongIssuingKeyIsReplacedInTheGrace(t *testing.T) {
	replacedInTheGrace(t, 8)
}
