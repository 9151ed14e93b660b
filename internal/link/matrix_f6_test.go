package link_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/secp2psip/secp2psip/internal/link"
)

// lies are what a peer may do with the packets that it passes on, in parts so
// small that the connection works all the while. Each villain needs its own,
// for they remember; its lock is held while they are asked.
func lies() map[string]func(p []byte, seen [][]byte) [][]byte {
	rng := rand.New(rand.NewPCG(6, 6))
	var held [][]byte
	return map[string]func(p []byte, seen [][]byte) [][]byte{
		link.ReasonRelayReplays: func(p []byte, _ [][]byte) [][]byte { return [][]byte{p, p} },
		link.ReasonRelayReorders: func(p []byte, _ [][]byte) (out [][]byte) {
			if held = append(held, p); len(held) == 6 {
				out, held = held, nil
				slices.Reverse(out)
			}
			return out
		},
		link.ReasonRelayAlters: func(p []byte, _ [][]byte) [][]byte {
			if rng.IntN(4) == 0 {
				p[len(p)-1] ^= 1
			}
			return [][]byte{p}
		},
		link.ReasonRelayDrops: func(p []byte, _ [][]byte) [][]byte {
			if rng.IntN(5) < 3 {
				return nil
			}
			return [][]byte{p}
		},
	}
}

// lied has two clients send each other datagrams through a peer that lies, until
// one of them doubts it, or for as long as the attack goes on where nobody
// watches. It returns the caller, what it makes of the peer, and the order in
// which it would try the two peers then.
func lied(t *testing.T, reason string, blind bool) (caller *node, doubt string, liarIsLast bool) {
	t.Helper()
	o := newOverlay(t, "lan.example")
	p, q := o.start("p", passes("callee")), o.start("q", passes("callee"))
	caller = o.start("caller", unreachable)
	callee := o.start("callee", unreachable)
	if blind {
		caller.Blind()
	}
	attach(t, callee, p, q)
	c := must(caller.ConnectVia(testCtx(t), callee.peer(), peersOf(p)))(t)
	heard := make(chan *link.Conn, 1)
	callee.HandleDatagrams(link.DatagramMedia, func(from *link.Conn, _ []byte) {
		select {
		case heard <- from:
		default:
		}
	})
	caller.HandleDatagrams(link.DatagramMedia, func(*link.Conn, []byte) {})
	var back *link.Conn
	eventually(t, "the callee hears the caller", func() bool {
		_ = c.SendDatagram([]byte{link.DatagramMedia})
		select {
		case back = <-heard:
			return true
		default:
			return false
		}
	})
	var v villain
	v.corrupt(t, p, lies()[reason])
	eventually(t, "the peer lies: "+reason, func() bool {
		for range 8 { // in groups, as calls do
			_ = back.SendDatagram([]byte{link.DatagramMedia})
			_ = c.SendDatagram([]byte{link.DatagramMedia})
		}
		return c.Doubt() != "" || blind && v.attacks.Load() > 1000
	})
	if v.attacks.Load() == 0 {
		t.Error("the peer has not lied")
	}
	ways := caller.Ways(callee.peer(), peersOf(p, q))
	return caller, c.Doubt(), ways[len(ways)-1] == "via "+p.Link.ID().Short()
}

// TestMatrixF6LyingPeer: a peer lies about a part of the packets of a connection
// that it passes on. The end that gets them knows it and counts it, and the peer
// stands behind all others from then on. Without the watch nobody knows.
func TestMatrixF6LyingPeer(t *testing.T) {
	t.Parallel()
	for reason := range lies() {
		caller, doubt, last := lied(t, reason, false)
		if doubt != reason || caller.refused.of(reason) != 1 || !last {
			t.Errorf("%s: noticed as %q, counted %d times, tried last: %v", reason, doubt, caller.refused.of(reason), last)
		}
		if caller, doubt, last = lied(t, reason, true); doubt != "" || caller.refused.of(reason) != 0 || last {
			t.Errorf("%s: without the watch: noticed as %q, tried last: %v", reason, doubt, last)
		}
	}
	t.Logf("matrix: F6 a peer that replays, reorders, alters or drops a part is noticed, counted and tried last: 4 of 4, 0 of 4 without the watch")
}
