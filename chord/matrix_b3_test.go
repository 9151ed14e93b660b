package chord

import (
	"testing"
	"time"

	"github.com/secp2psip/secp2psip/internal/wire"
)

// churnBots lets some certified nodes join and leave without end, whatever they
// are told, beside a ring of 64, and returns what an honest node sends, in bytes a
// second, and how often the bots were let in.
func churnBots(t *testing.T, bots int, defended bool, span time.Duration) (perNode float64, joined, tried int) {
	l := newLab(t, 81)
	l.notaries()
	const n = 64
	l.grow(n, 20*time.Millisecond)
	l.run(time.Minute)
	for _, m := range l.nodes {
		m.history.off = !defended
	}
	honest := l.sorted()
	home := vpeer(honest[0], 1)
	l.apart = map[ID]bool{}
	var again func(id ID)
	again = func(id ID) {
		tried++
		m := l.add(id)
		l.step(id, m, Join{Seeds: []wire.Peer{home}})
		l.after(4*time.Second, func() {
			if m.Phase() == PhaseJoined {
				joined++
				l.step(id, m, Leave{})
			}
			l.after(time.Second, func() { again(id) })
		})
	}
	for range bots {
		id := l.id()
		l.apart[id] = true
		again(id)
	}
	const settled = 3 * time.Minute // a bot has its first joins as everybody has
	l.run(settled)
	before := l.total()
	l.run(span)
	return (l.total() - before) / span.Seconds() / n, joined, tried
}

// B3: bots that join and leave every five seconds are told to wait, and do not,
// and cost the others little; without the memory of joins they cost much.
func TestMatrixB3ChurnBots(t *testing.T) { churnBotsCost(t, 2*time.Minute) }

func churnBotsCost(t *testing.T, span time.Duration) {
	const bots = 3
	calm, _, _ := churnBots(t, 0, true, span)
	held, in, tried := churnBots(t, bots, true, span)
	bare, bareIn, _ := churnBots(t, bots, false, span)
	t.Logf("matrix: B3 maintenance traffic with %d churn bots among 64: %.2f times, %.0f B/s a node; %d of %d joins let in", bots, held/calm, held, in, tried)
	t.Logf("without the memory of joins: %.2f times, %d joins let in", bare/calm, bareIn)
	if tried < 100 || held > 1.2*calm {
		t.Errorf("%.0f B/s a node, %.0f without the bots; %d joins tried", held, calm, tried)
	}
	if bare < 1.2*calm || bareIn < 2*in {
		t.Errorf("without the memory: %.0f B/s a node, %.0f without bots; %d joins", bare, calm, bareIn)
	}
}
