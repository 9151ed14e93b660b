//go:build long

package chord

import (
	"testing"
	"time"
)

// TestLongMatrixB3ChurnBots: the same over the time in which a bot earns one more
// join.
func TestLongMatrixB3ChurnBots(t *testing.T) { churnBotsCost(t, 15*time.Minute) }
