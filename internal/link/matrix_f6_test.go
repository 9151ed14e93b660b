package link_test

import (
	"slices"
	"testing"

	"github.com/secp2psip/secp2psip/internal/link"
)

// lies are what a peer may do with the packets that it passes on, in parts so
// small that the connection works all the while.
func lies() map[string]func(p []byte, seen [][]byte) [][]byte {
	n := 0
	var held [][]byte
	every := func(k int) bool { n++; return n%k == 0 }
	return map[string]func(p []byte, seen [][]byte) [][]byte{
		link.ReasonRelayReplays: func(p []byte, _ [][]byte) [][]byte { return [][]byte{p, p} },
		link.ReasonRelayReorders: func(p []byte, _ [][]byte) (out [][]byte) {
			if held = append(held, p); len(held) == 3 {
				out, held = held, nil
				slices.Reverse(out)
			}
			return out
		},
		link.ReasonRelayAlters: func(p []byte, _ [][]byte) [][]byte {
			if every(4) {
				p[len(p)-1] ^= 1
			}
			return [][]byte{p}
		},
		link.ReasonRelayDrops: func(p []byte, _ [][]byte) [][]byte {
			if every(2) {
				return nil
			}
			return [][]byte{p}
		},
	}
}

// TestMatrixF6LyingPeer: a peer lies about a part of the packets of a connection
// that it passes on. The end that gets them knows it, and goes elsewhere: the
// peer stands behind all others from then on. Without the watch nobody knows.
func TestMatrixF6LyingPeer(t *testing.T) {
	t.Parallel()
	for reason, mangle := range lies() {
		for _, blind := range []bool{false, true} {
			o := newOverlay(t, "lan.example")
			p, q := o.start("p", passes("callee")), o.start("q", passes("callee"))
			caller, callee := o.start("caller", unreachable), o.start("callee", unreachable)
			if blind {
				caller.Blind()
			}
			attach(t, callee, p, q)
			c := must(caller.ConnectVia(testCtx(t), callee.peer(), peersOf(p)))(t)
			answers := make(chan *link.Conn, 1)
			callee.HandleDatagrams(link.DatagramMedia, func(from *link.Conn, _ []byte) {
				select {
				case answers <- from:
				default:
				}
			})
			eventually(t, "the callee hears the caller", func() bool { _ = c.SendDatagram([]byte{link.DatagramMedia}); return len(answers) > 0 })
			back := <-answers
			var v villain
			v.corrupt(t, p, mangle)
			lied := func() bool {
				_ = back.SendDatagram(make([]byte, 200)) // of a kind that nobody takes
				_ = c.SendDatagram([]byte{link.DatagramMedia})
				return c.Doubt() != "" || v.attacks.Load() > 2000
			}
			eventually(t, reason+" is noticed", lied)
			if v.attacks.Load() == 0 {
				t.Error("the peer has not lied")
			}
			if blind {
				if c.Doubt() != "" {
					t.Errorf("without the watch: %q", c.Doubt())
				}
				continue
			}
			if c.Doubt() != reason || caller.refused.of(reason) != 1 {
				t.Errorf("%s: noticed as %q, counted %d times", reason, c.Doubt(), caller.refused.of(reason))
			}
			again := must(caller.Replace(testCtx(t), c, callee.peer(), peersOf(p, q)))(t)
			if again.Via() != q.Link.ID() {
				t.Errorf("%s: it goes on through %v", reason, again.Via().Short())
			}
		}
	}
	t.Logf("matrix: F6 a peer that replays, reorders, alters or drops a part is noticed and left: 4 of 4, 0 of 4 without the watch")
}
