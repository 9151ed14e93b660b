package node_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/node"
)

// jumpyClock is a system clock that somebody sets while the node runs.
type jumpyClock struct {
	off   atomic.Int64
	began time.Time
}

func (c *jumpyClock) wall() time.Time { return time.Now().Round(0).Add(time.Duration(c.off.Load())) }

func (c *jumpyClock) mono() time.Duration { return time.Since(c.began) }

func (c *jumpyClock) keeper(t testing.TB) *node.Timekeeper {
	c.began = time.Now()
	return node.NewTimekeeper(must(identity.NewClockOf("", c.wall, c.mono))(t), zerolog.Nop())
}

// TestClocksJump: the system clocks of two nodes of a ring are set hours ahead
// and hours back while they run. They keep their neighbours and everything that
// they hold, learn the time anew by themselves, and then take records as before.
func TestClocksJump(t *testing.T) {
	t.Parallel()
	o := newOverlay(t)
	clocks := map[string]*jumpyClock{"ahead": {}, "back": {}}
	withClock := func(name string) func(*node.Config) {
		return func(c *node.Config) { c.Time = clocks[name].keeper(t) }
	}
	first := o.start("first", nil)
	peers := map[string]*peer{"first": first}
	for _, name := range []string{"ahead", "back", "b", "c", "d"} {
		var change func(*node.Config)
		if clocks[name] != nil {
			change = withClock(name)
		}
		peers[name] = o.start(name, change, first)
	}
	var nodes []*node.Node
	var people []*person
	for name, p := range peers {
		nodes = append(nodes, p.Node)
		people = append(people, o.enrol("user-"+name, p.Self()))
	}
	eventually(t, "one ideal ring", func() bool { return ideal(nodes) == nil })
	publishAll(t, people, func(*person) *node.Node { return first.Node })
	held := map[string]int{}
	for name := range clocks {
		held[name] = peers[name].Store().Stats().Records
	}

	clocks["ahead"].off.Store(int64(7 * time.Hour))
	clocks["back"].off.Store(-int64(9 * time.Hour))
	for name := range clocks {
		p := peers[name]
		if off := time.Since(p.OverlayTime()).Abs(); name == "back" && off > time.Minute {
			t.Errorf("%s: overlay time follows a clock that was set back: %v off", name, off)
		}
		if got := p.Store().Stats().Records; got < held[name] {
			t.Errorf("%s holds %d records, %d before its clock was set", name, got, held[name])
		}
	}
	eventually(t, "the time is learnt anew", func() bool {
		for name := range clocks {
			if time.Since(peers[name].OverlayTime()).Abs() > 10*time.Second || !peers[name].TimeIsSynced() {
				return false
			}
		}
		return true
	})
	if err := ideal(nodes); err != nil {
		t.Errorf("neighbours were lost: %v", err)
	}
	for name := range clocks {
		p := peers[name]
		if got := p.Store().Stats().Records; got < held[name] {
			t.Errorf("%s holds %d records, %d before its clock was set", name, got, held[name])
		}
		if p.refused.of("link/unauthorized")+p.refused.of("link/certificate") > 0 {
			t.Errorf("%s refuses members: %v", name, p.refused.all())
		}
		for _, who := range people {
			if err := who.resolves(limited(t), p.Node); err != nil {
				t.Errorf("%s looks %s up: %v", name, who.aor, err)
			}
		}
	}
	for _, who := range people { // a newer registration, which all holders must take
		who.records = append(who.records[:len(who.records)-1], who.registration(2))
	}
	publishAll(t, people, func(*person) *node.Node { return peers["back"].Node })
	t.Logf("two clocks jumped: %v", held)
}
