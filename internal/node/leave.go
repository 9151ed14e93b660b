package node

import (
	"context"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
)

// Leave says goodbye to the ring, handing records over; Run then waits for
// its ctx to end.
func (n *Node) Leave(ctx context.Context) error {
	select {
	case <-n.joined:
	default:
		return nil
	}
	n.saveKnown()
	return n.Ring().Leave(ctx)
}

// exodusPoll is how often a leaving node looks who is still there.
const exodusPoll = 25 * time.Millisecond

// WhileOthersStay returns a context that also ends when others go as this node
// does, as at a power cut or the end of a demonstration: at least two, and a
// quarter of all that were connected. Nobody is there to leave anything to
// then, and calls to those who have gone take long to fail.
func (n *Node) WhileOthersStay(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	before := n.connected()
	go func() { // ends with ctx
		tick := time.NewTicker(exodusPoll)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if gone := n.missing(before); gone > 0 && gone == len(before) || gone >= 2 && 4*gone >= len(before) {
				cancel()
			}
		}
	}()
	return ctx, cancel
}

// missing counts those that are not connected any more.
func (n *Node) missing(before map[identity.NodeID]bool) (gone int) {
	now := n.connected()
	for id := range before {
		if !now[id] {
			gone++
		}
	}
	return gone
}

func (n *Node) connected() map[identity.NodeID]bool {
	ids := map[identity.NodeID]bool{}
	for _, p := range n.link.Peers() {
		ids[p.ID] = true
	}
	return ids
}
