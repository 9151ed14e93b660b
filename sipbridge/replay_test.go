package sipbridge

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// Whatever is put in, a hit is what was put in last under that key, and not
// too old; what does not fit any more is forgotten oldest first.
func TestReplayAgainstModel(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	type kept struct {
		msg string
		at  time.Duration
		n   int
	}
	r := newReplay()
	model := map[uint64]kept{}
	var now time.Duration
	hits := 0
	for i := range 60000 {
		key := rnd.Uint64N(20000)
		now += time.Duration(rnd.Int64N(int64(3 * time.Millisecond)))
		if rnd.IntN(3) > 0 {
			msg := fmt.Sprintf("%d-%*d", key, rnd.IntN(1500)+1, i)
			r.put(key, []byte(msg), now)
			model[key] = kept{msg, now, i}
		}
		if i%5000 == 0 {
			r.expire(now)
		}
		probe := rnd.Uint64N(20000)
		got, ok := r.get(nil, probe, now)
		if !ok {
			continue
		}
		hits++
		want := model[probe]
		if string(got) != want.msg || now-want.at >= replayFor {
			t.Fatalf("key %d: %.30q of %v, want %.30q", probe, got, now-want.at, want.msg)
		}
	}
	if hits < 1000 {
		t.Errorf("only %d hits", hits)
	}
	if len(r.index) > r.entries {
		t.Errorf("%d keys for %d entries", len(r.index), r.entries)
	}
	r.expire(now + replayFor)
	if r.entries != 0 || len(r.index) != 0 || len(r.ring) != 0 {
		t.Errorf("%d entries, %d keys and %d bytes are left", r.entries, len(r.index), len(r.ring))
	}
}

// While the ring can grow, nothing that is young enough is forgotten.
func TestReplayGrows(t *testing.T) {
	r := newReplay()
	msg := make([]byte, 700)
	r.put(1, msg, 0)
	if len(r.ring) != replayFirst {
		t.Errorf("%d bytes for one answer", len(r.ring))
	}
	const most = replayBytes / (700 + replayHeader) / 2
	for key := range uint64(most) {
		r.put(key, msg[:key%700], time.Duration(key))
		if key%3 == 0 {
			r.put(key/2, msg, time.Duration(key)) // a newer answer to an older question
		}
	}
	for key := range uint64(most) {
		if _, ok := r.get(nil, key, time.Second); !ok {
			t.Fatalf("answer %d of %d is forgotten in a ring of %d bytes", key, most, len(r.ring))
		}
	}
	if len(r.ring) > replayBytes {
		t.Errorf("%d bytes", len(r.ring))
	}
}

func TestReplayExpires(t *testing.T) {
	r := newReplay()
	r.put(1, []byte("x"), 0)
	if _, ok := r.get(nil, 1, replayFor-1); !ok {
		t.Error("forgotten too early")
	}
	if _, ok := r.get(nil, 1, replayFor); ok {
		t.Error("kept too long")
	}
}
