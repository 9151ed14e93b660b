package adapter_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/adapter"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/testnet"
)

// wrongClock gives an adapter a system clock that is off; it is kept in a
// file, as a real one's state is.
func wrongClock(t *testing.T, file string, off time.Duration) func(*adapter.Config) {
	t.Helper()
	return func(c *adapter.Config) {
		clock, err := identity.NewClock(file, func() time.Time { return time.Now().Add(off) })
		if err != nil {
			t.Fatal(err)
		}
		c.Clock = clock
	}
}

// TestWrongClocks: boards without a clock battery, and people who set the
// clock wrong, call and are called all the same.
func TestWrongClocks(t *testing.T) {
	t.Parallel()
	for name, off := range map[string]time.Duration{
		"hours ahead": 7 * time.Hour, "hours behind": -7 * time.Hour, "in 1970": -time.Since(time.Unix(0, 0)) + time.Hour,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := testnet.New(t, nil)
			file := filepath.Join(t.TempDir(), "clock")
			wrong := l.Add("alice", wrongClock(t, file, off))
			alice := wrong.Phone(toneA)
			right := l.Add("bob", nil)
			bob := right.Phone(toneB)
			if out := dial(t, alice, "bob"); out.Status != 200 {
				t.Errorf("the one with the wrong clock calls: %d %s", out.Status, out.Reason)
			} else {
				answered(t, bob)
			}
			if out := dial(t, bob, "alice"); out.Status != 200 {
				t.Errorf("the one with the wrong clock is called: %d %s", out.Status, out.Reason)
			} else {
				answered(t, alice)
			}
			if len(wrong.It.Status().Warnings) == 0 {
				t.Error("nobody is told that the clock is wrong")
			}
			// Again from the state folder, with the bootstrap server gone.
			wrong.Pin()
			wrong.Stop(t)
			l.Server.Stop(t)
			wrong.Change(wrongClock(t, file, off))
			wrong.Start()
			wrong.Joined()
			testnet.Eventually(t, "bob is found again", func() bool { return wrong.Lookup("bob").Outcome == "verified" })
			if out := dial(t, alice, "bob"); out.Status != 200 {
				t.Errorf("after a restart without the bootstrap server: %d %s", out.Status, out.Reason)
			} else {
				answered(t, bob)
			}
		})
	}
}
