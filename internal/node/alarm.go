package node

import (
	"fmt"
	"slices"

	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/identity"
)

// maxShown bounds the alarms of one kind in the status.
const maxShown = 8

// keyChanged notes that a pinned key has changed. The directory logs and
// counts it; the name shows only at debug level and in the status.
func (n *Node) keyChanged(e *directory.KeyChangedError) {
	n.cfg.Log.Debug().Stringer("aor", e.AOR).Msg("whose key has changed")
	n.changed.note(e, n.time.Now())
}

// keyBack notes that the ring says the pinned key.
func (n *Node) keyBack(aor identity.AOR) { n.changed.settle(aor, settledBack, n.time.Now()) }

// keyFollowed notes that a person has changed keys, and signed that.
func (n *Node) keyFollowed(f directory.Followed) {
	n.cfg.Log.Debug().Stringer("aor", f.AOR).Msg("who has changed keys")
	n.changed.follow(f, n.time.Now())
}

// Alarms says in a sentence each what this node has seen of keys that changed
// without a reason, and of issuers that contradict themselves. A change that
// somebody has accepted since is none any more.
func (n *Node) Alarms() []string {
	var conflicts []string
	if dir := n.Directory(); dir != nil {
		for _, c := range dir.Conflicts() {
			conflicts = append(conflicts, fmt.Sprintf(
				"the issuer has signed two keys for %s (versions %d and %d): tell its owner and the operator of the bootstrap server; the evidence is kept",
				c.AOR, c.First.Version, c.Second.Version))
		}
	}
	return slices.Concat(n.strangers.sentences(), shorten(conflicts), shorten(n.changed.sentences()), shorten(n.recoveries()), shorten(n.misbehaviour()))
}

func shorten(list []string) []string {
	if len(list) <= maxShown {
		return list
	}
	return append(list[:maxShown:maxShown], fmt.Sprintf("and %d more of that kind", len(list)-maxShown))
}
