//go:build long && linux

package sipbridge

import (
	"testing"
	"time"
)

// 300,000 sources, all but the first 60,000 at up to 10,000 packets a second, beside an honest phone that
// calls on.
func TestLongMatrixH4Sources(t *testing.T) { flood(t, 300_000, 60_000, 10, 24, time.Second, true) }

// 20,000 connections, opened and dribbled into as fast as they are closed,
// beside honest phones over UDP and TCP.
func TestLongMatrixH4Connections(t *testing.T) { besiege(t, 20_000, 20, 500*time.Millisecond, true) }
