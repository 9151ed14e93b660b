package socket_test

import (
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/socket"
)

// A deadline that has passed ends reads, those under way and those to come, until
// it is taken back; one to come changes nothing.
func TestWake(t *testing.T) {
	var w socket.Wake
	woken := func() bool {
		select {
		case <-w.Woken():
			return true
		default:
			return false
		}
	}
	waiting := w.Woken()
	for i, step := range []struct {
		at   time.Time
		over bool
	}{
		{time.Now().Add(time.Hour), false}, {time.Unix(1, 0), true}, {time.Now().Add(-time.Second), true},
		{time.Time{}, false}, {time.Unix(1, 0), true}, {time.Now().Add(time.Hour), false},
	} {
		if err := w.SetReadDeadline(step.at); err != nil || woken() != step.over {
			t.Errorf("step %d: %v, woken %v", i, err, !step.over)
		}
	}
	select {
	case <-waiting:
	default:
		t.Error("a read that waited before was not ended")
	}
}
