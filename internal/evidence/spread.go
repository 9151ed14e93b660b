package evidence

import (
	"context"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// How a proof spreads: each node that learns of one tells some members at once,
// and then one at a time for a while, since those who join later must hear of it,
// too.
const (
	tellAtOnce = 6
	tellLater  = 30
	tellEvery  = 20 * time.Second
	tellTime   = 5 * time.Second
)

// passOn tells others of proofs until ctx ends.
func (g *Guard) passOn(ctx context.Context) {
	left := map[*Item]int{}
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case it := <-g.spread:
			left[it] = tellLater
			if it.culprit.ID != (identity.NodeID{}) {
				g.accuse(ctx, it.culprit, it) // it may be honest, and run twice
			}
			for range tellAtOnce {
				g.tell(ctx, it)
			}
		case <-tick.C:
			for it := range left {
				g.tell(ctx, it)
				if left[it]--; left[it] == 0 {
					delete(left, it)
				}
			}
		}
	}
}

// tell hands a proof to one member drawn at random, who may know it.
func (g *Guard) tell(ctx context.Context, it *Item) {
	ring := g.cfg.Ring()
	if ring == nil {
		return
	}
	peers := ring.Peers()
	if len(peers) == 0 {
		return
	}
	if to := peers[g.draw(len(peers))]; !g.Evicted(to.ID) {
		g.accuse(ctx, to, it)
	}
}

func (g *Guard) accuse(ctx context.Context, to wire.Peer, it *Item) {
	ctx, cancel := context.WithTimeout(ctx, tellTime)
	defer cancel()
	_, _ = g.cfg.Transport.Call(ctx, to, &wire.Accuse{Proof: it.Proof}) // who does not answer hears it from others
}
