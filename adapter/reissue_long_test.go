//go:build long

package adapter_test

import (
	"testing"
	"time"
)

// TestLongIssuingKeyIsReplacedInTheGrace: see TestIssuingKeyIsReplacedInTheGrace,
// in a ring of nine.
func TestLongIssuingKeyIsReplacedInTheGrace(t *testing.T) {
	replacedInTheGrace(t, 8, 40*time.Second)
}
