package node

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/secp2psip/secp2psip/internal/identity"
)

// keeper returns a Timekeeper on a system clock that is off, and what it logs.
func keeper(t *testing.T, off time.Duration) (*Timekeeper, *bytes.Buffer) {
	t.Helper()
	clock, err := identity.NewClock("", func() time.Time { return time.Now().Add(off) })
	if err != nil {
		t.Fatal(err)
	}
	log := &bytes.Buffer{}
	return NewTimekeeper(clock, zerolog.New(log)), log
}

func owner(b byte) identity.OwnerTag { return identity.OwnerTag{b} }

// near tells whether two times are the same but for what the test takes.
func near(a, b time.Time) bool { return a.Sub(b).Abs() < 5*time.Second }

func TestLearningMovesNowButNotSteady(t *testing.T) {
	const off = 7 * time.Hour
	k, log := keeper(t, -off)
	before := k.Steady()
	r := k.Learn([]identity.TimeSample{{Owner: owner(1), Issuer: true, Offset: off}}, false)
	if !r.Accepted || !near(k.Now(), time.Now()) || !k.Synced() {
		t.Fatalf("%+v; it is %v now", r, k.Now())
	}
	if !near(k.Steady(), before) || !near(k.Steady().Add(k.Correction()), k.Now()) {
		t.Errorf("Steady went from %v to %v, corrected by %v", before, k.Steady(), k.Correction())
	}
	k.Learn([]identity.TimeSample{{Owner: owner(1), Issuer: true}}, false)
	if n := strings.Count(log.String(), "clock is wrong"); n != 1 {
		t.Errorf("a person is warned %d times, want once:\n%s", n, log)
	}
}

func TestWhoMayTellTheTime(t *testing.T) {
	one := []identity.TimeSample{{Owner: owner(1), Offset: time.Hour}}
	three := []identity.TimeSample{{Owner: owner(1), Offset: time.Hour}, {Owner: owner(2), Offset: time.Hour}, {Owner: owner(3), Offset: time.Hour}}
	for _, tt := range []struct {
		name      string
		samples   []identity.TimeSample
		everybody bool
		want      bool
	}{
		{"one of many", one, false, false},
		{"the only one", one, true, true},
		{"three", three, false, true},
		{"one person's three nodes", []identity.TimeSample{one[0], one[0], one[0]}, false, false},
		{"nobody", nil, true, false},
	} {
		k, _ := keeper(t, 0)
		if got := k.Learn(tt.samples, tt.everybody).Accepted; got != tt.want {
			t.Errorf("%s: accepted %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestDoubtful(t *testing.T) {
	began := time.Now().Add(-24 * time.Hour)
	board, _ := keeper(t, -50*365*24*time.Hour)
	if !board.Doubtful(began) {
		t.Error("a time before the overlay began is believed")
	}
	board.Learn([]identity.TimeSample{{Owner: owner(1), Issuer: true, Offset: time.Since(board.Now())}}, false)
	if board.Doubtful(began) {
		t.Error("a time that the issuer has told is doubted")
	}
	if right, _ := keeper(t, 0); right.Doubtful(began) {
		t.Error("a clock that nothing speaks against is doubted")
	}
}
