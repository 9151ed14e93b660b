package chord

import (
	"testing"
	"time"
)

// TestHonestJoins: a laptop that wakes every half hour, a program started again
// eight times in a row, and the same after a quiet day wait for nothing; one that
// goes on is told to wait until it may join again, and may then.
func TestHonestJoins(t *testing.T) {
	var h history
	now := time.Unix(1_000_000, 0)
	laptop, program := ID{1}, ID{2}
	for range 48 {
		if wait := h.take(laptop, now, 0); wait > 0 {
			t.Fatalf("the laptop waits %v", wait)
		}
		now = now.Add(30 * time.Minute)
	}
	for range 8 {
		if wait := h.take(program, now, 0); wait > 0 {
			t.Fatalf("the program waits %v", wait)
		}
		now = now.Add(3 * time.Second)
	}
	joins, wait := 8, time.Duration(0)
	for ; wait == 0; joins++ {
		wait = h.take(program, now, 0)
	}
	if joins > joinsAtOnce+1 || wait < leastWait || wait > mostWait {
		t.Errorf("told to wait %v after %d joins", wait, joins-1)
	}
	if h.take(program, now, -joinsAtOnce) > 0 {
		t.Error("a return is refused as early as a join")
	}
	now = now.Add(wait + joinsRefill)
	if again := h.take(program, now, 0); again > 0 {
		t.Errorf("after that it waits %v again", again)
	}
}

// TestHistoryIsBounded: many strangers do not make a node forget who joins often.
func TestHistoryIsBounded(t *testing.T) {
	var h history
	now := time.Unix(1_000_000, 0)
	bot := ID{9}
	for range joinsAtOnce {
		h.take(bot, now, 0)
	}
	for i := range 4 * maxHistories {
		h.take(ID{1, byte(i >> 8), byte(i)}, now, 0)
		now = now.Add(time.Millisecond)
	}
	if len(h.byID) > maxHistories || h.take(bot, now, 0) == 0 {
		t.Errorf("%d are remembered, and the bot may join", len(h.byID))
	}
}

// TestReturnsOfMany: members that come back together were not the ones at fault.
func TestReturnsOfMany(t *testing.T) {
	var h history
	now := time.Unix(1_000_000, 0)
	if !h.alone(ID{1}, now) {
		t.Error("nobody was lost")
	}
	h.missed(ID{1}, now)
	h.missed(ID{1}, now)
	if !h.alone(ID{1}, now) {
		t.Error("nobody else was lost")
	}
	h.missed(ID{2}, now)
	h.missed(ID{1}, now)
	if h.alone(ID{1}, now.Add(time.Second)) || !h.alone(ID{1}, now.Add(aloneFor)) {
		t.Error("another was lost, too")
	}
}
