package link

import (
	"math/rand/v2"
	"testing"

	"github.com/quic-go/quic-go/qlog"
)

// watched feeds a watch what a way makes of 1,000 packets, and returns the
// verdict.
func watched(way func(number int64) (come []int64, altered int)) (verdict string) {
	w := newWatch()
	w.tell(func(reason string) { verdict = reason })
	seen := map[int64]bool{}
	for n := range int64(1000) {
		come, altered := way(n)
		for _, number := range come {
			if seen[number] {
				w.RecordEvent(qlog.PacketDropped{Trigger: qlog.PacketDropDuplicate})
				continue
			}
			seen[number] = true
			w.RecordEvent(qlog.PacketReceived{Header: qlog.PacketHeader{PacketType: qlog.PacketType1RTT, PacketNumber: qlog.PacketNumber(number)}})
		}
		for range altered {
			w.RecordEvent(qlog.PacketDropped{Trigger: qlog.PacketDropPayloadDecryptError})
		}
	}
	return verdict
}

// A way that does what networks do is not held against the peer; one that lies
// about a part of the packets is, with the right name.
func TestWatchTellsLiesFromLoss(t *testing.T) {
	const seed = 7
	rng := rand.New(rand.NewPCG(seed, seed))
	some := func(percent int) bool { return rng.IntN(100) < percent }
	var held []int64
	for _, tc := range []struct {
		name, want string
		way        func(n int64) ([]int64, int)
	}{
		{"honest", "", func(n int64) ([]int64, int) { return []int64{n}, 0 }},
		{"a fifth is lost", "", func(n int64) ([]int64, int) {
			if some(20) {
				return nil, 0
			}
			return []int64{n}, 0
		}},
		{"one in fifty is doubled by the network, one in ten overtaken", "", func(n int64) ([]int64, int) {
			switch {
			case some(2):
				return []int64{n, n}, 0
			case n%20 == 10:
				return nil, 0
			case n%20 == 11:
				return []int64{n, n - 1}, 0
			}
			return []int64{n}, 0
		}},
		{"a quarter is repeated", ReasonRelayReplays, func(n int64) ([]int64, int) {
			if some(25) {
				return []int64{n, n}, 0
			}
			return []int64{n}, 0
		}},
		{"old ones come again", ReasonRelayReplays, func(n int64) ([]int64, int) { return []int64{n, n / 2}, 0 }},
		{"three at a time, the last one first", ReasonRelayReorders, func(n int64) (come []int64, _ int) {
			if held = append([]int64{n}, held...); len(held) == 3 {
				come, held = held, nil
			}
			return come, 0
		}},
		{"a tenth is altered", ReasonRelayAlters, func(n int64) ([]int64, int) {
			if n%10 == 0 {
				return nil, 1
			}
			return []int64{n}, 0
		}},
		{"a half is dropped", ReasonRelayDrops, func(n int64) ([]int64, int) {
			if n%2 == 0 {
				return nil, 0
			}
			return []int64{n}, 0
		}},
	} {
		if got := watched(tc.way); got != tc.want {
			t.Errorf("%s: %q instead of %q (seed %d)", tc.name, got, tc.want, seed)
		}
	}
}

// Who asks after the verdict hears it all the same, and once.
func TestWatchTellsOnce(t *testing.T) {
	w := newWatch()
	for range 3 * watchSpan {
		w.RecordEvent(qlog.PacketDropped{Trigger: qlog.PacketDropDuplicate})
	}
	told := 0
	w.tell(func(string) { told++ })
	for range 3 * watchSpan {
		w.RecordEvent(qlog.PacketDropped{Trigger: qlog.PacketDropDuplicate})
	}
	if told != 1 {
		t.Errorf("told %d times", told)
	}
}
