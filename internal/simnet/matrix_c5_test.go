package simnet

import (
	"testing"
	"time"
)

// C5: packets are lost and nothing else. Timeouts that follow the measured round
// trips, and retries that end, keep the loss from feeding itself.
func TestMatrixC5Loss(t *testing.T) {
	rate := func(loss float64) (messages, packets float64, r *Result) {
		r = run(t, Config{Nodes: 40, Lookups: 120, Duration: 40 * time.Second, Warmup: 30 * time.Second, Session: 84 * time.Second, Loss: loss, Seed: 51})
		for _, m := range r.Messages {
			packets += m.PerS
		}
		return r.SaidPerS, packets, r
	}
	before, packetsBefore, _ := rate(0)
	const loss = 0.3
	got, packets, r := rate(loss)
	if got > 2*before || r.ResolvedWrong > 0 || r.Success < 0.9 {
		t.Errorf("%.2f messages a second and node, %.2f without loss; %d of %d found, %v", got, before, r.ResolvedRight, r.Lookups, r.Refusals)
	}
	t.Logf("matrix: C5 30 %% of the packets lost: %.2f times the messages, %.2f times with what the transport sends again; %d of %d found", got/before, packets/packetsBefore, r.ResolvedRight, r.Lookups)
}

// C5 in a ring at rest, which says little, so that every member that is given up
// without need, and what comes of that, counts.
func TestMatrixC5LossAtRest(t *testing.T) { lossAtRest(t, 51, 52) }

func lossAtRest(t *testing.T, seeds ...uint64) {
	worst := 0.0
	for _, seed := range seeds {
		var said [2]float64
		for i, loss := range []float64{0, 0.3} {
			r := run(t, Config{Nodes: 40, Lookups: 60, Duration: time.Minute, Warmup: 90 * time.Second, Loss: loss, Seed: seed})
			said[i] = r.SaidPerS
			if r.ResolvedRight != r.Lookups {
				t.Errorf("seed %d: %d of %d found", seed, r.ResolvedRight, r.Lookups)
			}
		}
		t.Logf("seed %d: %.2f messages a second and node, %.2f without loss", seed, said[1], said[0])
		worst = max(worst, said[1]/said[0])
	}
	t.Logf("matrix: C5 the same in a ring at rest: at most %.2f times the messages with %d seeds", worst, len(seeds))
	if worst > 2 {
		t.Errorf("%.2f times the messages", worst)
	}
}
