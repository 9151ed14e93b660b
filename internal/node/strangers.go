package node

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// reasonOnlyStrangers counts the times that all who were named to join through,
// and answered, were not of this overlay.
const reasonOnlyStrangers = "only_strangers"

// strangers watches those whom a bootstrap server has named for this node to join
// through. The overlay's root is pinned, so one that is not of the overlay is
// refused whoever names it; a server that names no other leads nodes astray.
type strangers struct {
	mu     sync.Mutex
	refuse map[identity.NodeID]bool // of those named: answered, and were refused
	good   bool                     // one of them is what it was said to be
	raised int                      // so many were named, and all of them refused; 0 = no alarm
}

// watched returns a dialer of a peer that was named.
func (s *strangers) watched(p wire.Peer, dial dialer) dialer {
	return func(ctx context.Context) (*link.Conn, error) {
		c, err := dial(ctx)
		s.mu.Lock()
		defer s.mu.Unlock()
		switch {
		case err == nil:
			s.good = true
		case foreign(err):
			if s.refuse == nil {
				s.refuse = map[identity.NodeID]bool{}
			}
			if len(s.refuse) < maxKnown {
				s.refuse[p.ID] = true
			}
		}
		return c, err
	}
}

// foreign reports whether a node answered and is not of the overlay, or not the
// one that was named.
func foreign(err error) bool {
	for _, e := range []error{identity.ErrUntrusted, identity.ErrOtherOverlay, identity.ErrMalformed, link.ErrWrongNode} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// judge tells, when those named have been asked, whether that is cause for alarm
// as it was not before.
func (s *strangers) judge() (count int, raise bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.good || len(s.refuse) == 0 {
		s.raised = 0
		return 0, false
	}
	raise = s.raised == 0
	s.raised = len(s.refuse)
	return s.raised, raise
}

// judgeNamed raises the alarm where all who were named are strangers.
func (n *Node) judgeNamed() {
	count, raise := n.strangers.judge()
	if count > 0 {
		n.cfg.Refused("node", reasonOnlyStrangers)
	}
	if raise {
		n.cfg.Log.Error().Int("named", count).Msg("all nodes that the bootstrap server named show certificates of another overlay and are refused; known members are asked in their place")
	}
}

// sentences is the alarm, if there is one.
func (s *strangers) sentences() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.raised == 0 {
		return nil
	}
	return []string{fmt.Sprintf(
		"all %d nodes that the bootstrap server named are refused, for their certificates are not of this overlay: ask its operator whether it has been broken into; members known from earlier are asked in their place",
		s.raised)}
}
