package link

import (
	"time"

	"github.com/secp2psip/secp2psip/internal/wire"
)

// For tests outside the package: what maintain does every minute.

func (l *Link) DropExpired() { l.dropExpired() }

func (l *Link) DropSpare(idle time.Duration) { l.dropSpare(idle) }

// Blind switches the watch over peers that pass packets on off.
func (l *Link) Blind() { l.blind = true }

// Ways are the names of the ways to a node, in the order in which they would be
// tried.
func (l *Link) Ways(to wire.Peer, via []wire.Peer) (names []string) {
	for _, w := range l.waysTo(to, via, l.exactly(to.ID)) {
		names = append(names, w.name)
	}
	return names
}
