//go:build long

package adapter_test

import (
	"testing"
	"time"
)

// On a machine that does nothing else, none of the packets of fifty calls at
// once is lost.
func TestLongFiftyCallsLoseNothing(t *testing.T) {
	heard, missing := fiftyCalls(t, 10*time.Second)
	if missing != 0 || heard < 50*2*400 {
		t.Errorf("%d packets heard, %d missing", heard, missing)
	}
}
