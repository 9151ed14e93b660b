package directory_test

import (
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/directory"
)

// TestSchedule: an owner looks at once, then rarely; soon where something was
// missing or the ring has lost many, and never without a rest.
func TestSchedule(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	dueAfter := func(s *directory.Schedule, members int) time.Duration {
		for d := time.Duration(0); d < time.Hour; d += time.Second {
			if s.Due(now.Add(d), members) {
				return d
			}
		}
		return time.Hour
	}
	within := func(what string, got, from, to time.Duration) {
		t.Helper()
		if got < from || got > to {
			t.Errorf("%s: due after %v, not %v to %v", what, got, from, to)
		}
	}
	var s directory.Schedule
	within("at first", dueAfter(&s, 64), 0, 0)
	s.Begin(now, 64)
	within("while a round is under way", dueAfter(&s, 64), 40*time.Second, 50*time.Second)
	s.Done(now, directory.Repairs{Checked: 18})
	within("all is well", dueAfter(&s, 64), 7*time.Minute, 13*time.Minute)
	within("few have gone", dueAfter(&s, 60), 7*time.Minute, 13*time.Minute)
	now = now.Add(5 * time.Minute)
	within("many have gone", dueAfter(&s, 45), 5*time.Second, 11*time.Second)
	now = now.Add(15 * time.Second)
	s.Begin(now, 45)
	s.Done(now, directory.Repairs{Checked: 16, Silent: 2})
	within("somebody was silent", dueAfter(&s, 45), 11*time.Second, 20*time.Second)
	s.Begin(now, 45)
	s.Done(now, directory.Repairs{Checked: 18, Missing: 3, Stored: 3})
	within("many more at once", dueAfter(&s, 20), 29*time.Second, 31*time.Second)
	s.Begin(now, 2)
	s.Done(now, directory.Repairs{Checked: 18})
	now = now.Add(time.Minute)
	within("one of two has gone", dueAfter(&s, 1), 5*time.Second, 11*time.Second)
}
