package node

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/identity"
)

// Bounds of the alarms.
const (
	maxAlarms = 64 // names whose key has changed; the first ones stay
	maxShown  = 8  // of one kind in the status
)

// alarms are the keys that are not those of earlier calls.
type alarms struct {
	mu      sync.Mutex
	changed map[identity.AOR]*directory.KeyChangedError
}

// keyChanged notes that a pinned key has changed. The directory logs and
// counts it; the name shows only at debug level and in the status.
func (n *Node) keyChanged(e *directory.KeyChangedError) {
	n.cfg.Log.Debug().Stringer("aor", e.AOR).Msg("whose key has changed")
	n.alarms.mu.Lock()
	defer n.alarms.mu.Unlock()
	if n.alarms.changed == nil {
		n.alarms.changed = map[identity.AOR]*directory.KeyChangedError{}
	}
	if _, known := n.alarms.changed[e.AOR]; known || len(n.alarms.changed) < maxAlarms {
		n.alarms.changed[e.AOR] = e
	}
}

// Alarms says in a sentence each what this node has seen of keys that changed
// without a reason, and of issuers that contradict themselves. A change that
// somebody has accepted since is none any more.
func (n *Node) Alarms() []string {
	changed := n.changedKeys()
	var conflicts []string
	if dir := n.Directory(); dir != nil {
		for _, c := range dir.Conflicts() {
			conflicts = append(conflicts, fmt.Sprintf(
				"the issuer has signed two keys for %s (versions %d and %d): tell its owner and the operator of the bootstrap server; the evidence is kept",
				c.AOR, c.First.Version, c.Second.Version))
		}
	}
	return append(shorten(conflicts), shorten(changed)...)
}

func (n *Node) changedKeys() []string {
	n.alarms.mu.Lock()
	defer n.alarms.mu.Unlock()
	var out []string
	for aor, e := range n.alarms.changed {
		if pin, ok := n.cfg.Pins.Get(aor); ok && pin.Key == e.New || !ok {
			delete(n.alarms.changed, aor)
			continue
		}
		out = append(out, fmt.Sprintf(
			"the key of %s is not the one of earlier calls (%s before, %s now) and its calls are refused: ask its owner; if the new key is right, stop this program, delete the name's line in the file pins of the state folder, and start again",
			aor, e.Old.Fingerprint(), e.New.Fingerprint()))
	}
	slices.SortFunc(out, strings.Compare)
	return out
}

func shorten(list []string) []string {
	if len(list) <= maxShown {
		return list
	}
	return append(list[:maxShown:maxShown], fmt.Sprintf("and %d more of that kind", len(list)-maxShown))
}
