package node

import (
	"context"
	"net/netip"
	"slices"
	"time"
)

// moveEvery is how often a node looks at its host's addresses.
const moveEvery = time.Second / 2

// keepMoving takes this node's connections along when its host's addresses
// change, until ctx ends.
func (n *Node) keepMoving(ctx context.Context) {
	tick := time.NewTicker(moveEvery)
	defer tick.Stop()
	before := interfaceAddrs()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := interfaceAddrs()
		if slices.Equal(now, before) || !slices.ContainsFunc(now, func(a netip.Addr) bool { return !a.IsLoopback() }) {
			continue // between two networks there is nothing to move to
		}
		before = now
		n.cfg.Log.Info().Msg("this host's addresses have changed: its connections go along")
		n.refreshAddrs()
		n.reflected.again()
		n.link.Migrate(ctx, func(a netip.Addr) bool { return slices.Contains(now, a) })
		n.punches.again()
		n.mapped.again()
	}
}
