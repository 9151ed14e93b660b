package node

import (
	"context"
	"net/netip"
	"slices"
	"time"
)

// How a node notices that its host's addresses change: the system tells it, and
// else it looks. After the first word of a change it waits for what belongs to it:
// addresses come one by one, routes after them.
const (
	moveEvery  = time.Second / 2        // between two looks where the system does not tell
	moveAnyway = 15 * time.Second       // and where it does
	moveSettle = 100 * time.Millisecond // for the rest of a change
)

// keepMoving takes this node's connections along when its host's addresses
// change, until ctx ends.
func (n *Node) keepMoving(ctx context.Context) {
	var told <-chan struct{}
	every := moveEvery
	if n.cfg.Socket == nil { // else the system's word is not about the network that the link is in
		told = addrChanges(ctx)
	}
	if told != nil {
		every = moveAnyway
		listening := told
		defer func() {
			for range listening { // until it has ended
			}
		}()
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	before := interfaceAddrs()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case _, ok := <-told:
			if !ok { // the system tells nothing any more
				told = nil
				tick.Reset(moveEvery)
				continue
			}
			select {
			case <-time.After(moveSettle):
			case <-ctx.Done():
				return
			}
		}
		now := interfaceAddrs()
		if slices.Equal(now, before) || !slices.ContainsFunc(now, netip.Addr.IsGlobalUnicast) {
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
