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
