package node

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// A link made with a certificate of an issuing key that is to be revoked would be
// closed at that moment, by both sides of all links at once. So a node makes its
// links anew, one after the other and each beside the old one, when it has a new
// certificate; and, since the other side may not be able to dial this one, when
// that has one.
const (
	linksLook      = 15 * time.Second
	linksPause     = 400 * time.Millisecond // between two links, or less where there are many
	linksWithin    = 30 * time.Second       // all of them, while they are that few
	linkAgain      = 5 * time.Second        // after a failure, doubled each time
	linkAgainMost  = 5 * time.Minute
	linkRenewLimit = 5 * time.Second // for one
)

// renewal is when a link may be made anew once more, after it could not.
type renewal struct {
	at   time.Time
	wait time.Duration
}

// renewLinks makes links anew until ctx ends.
func (n *Node) renewLinks(ctx context.Context) {
	next := time.NewTimer(linksLook)
	defer next.Stop()
	again := map[identity.NodeID]renewal{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.renewed:
		case <-next.C:
		}
		wait := linksLook
		due := n.outdatedLinks()
		left := map[identity.NodeID]renewal{} // of those that are still to be made anew
		for _, c := range due {
			r := again[c.ID()]
			if time.Now().Before(r.at) {
				left[c.ID()] = r
				continue
			}
			pause := min(linksPause, linksWithin/time.Duration(len(due)))
			if !sleep(ctx, pause/2+rand.N(pause)) { // #nosec G404 -- spreads load over time
				return
			}
			if err := n.renewLink(ctx, c); err != nil {
				r.wait = min(max(2*r.wait, linkAgain), linkAgainMost)
				r.at = time.Now().Add(r.wait)
				left[c.ID()], wait = r, min(wait, jitter(r.wait))
			}
		}
		again = left
		next.Reset(jitter(wait))
	}
}

// sleep waits; false if ctx ends before.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// outdatedLinks are the links in use that were made before this node's
// certificate was renewed, or where the issuing key of the other side's is to be
// revoked and that node is known to have another by now.
func (n *Node) outdatedLinks() []*link.Conn {
	var shown map[identity.NodeID]wire.CertHash
	return n.link.Outdated(func(id identity.NodeID, chain [][]byte) bool {
		if !n.IssuerState(chain).Outdated() {
			return false
		}
		if shown == nil {
			shown = map[identity.NodeID]wire.CertHash{}
			for _, d := range n.Ring().View().Descriptors() {
				shown[d.ID] = d.Certificate
			}
		}
		hash, known := shown[id]
		return !known || hash != wire.HashCertificate(chain[0])
	})
}

// renewLink makes one link anew, where it still has to be.
func (n *Node) renewLink(ctx context.Context, c *link.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, linkRenewLimit)
	defer cancel()
	var addrs []netip.AddrPort
	for _, p := range n.Ring().View().Peers() {
		if p.ID == c.ID() {
			addrs = p.Addrs
		}
	}
	fresh, err := n.link.Renew(ctx, c, addrs)
	if err != nil {
		n.cfg.Log.Debug().Err(err).Stringer("node", c.ID()).Msg("a link could not be made anew with the present certificates")
		return err
	}
	n.cfg.Log.Debug().Stringer("node", c.ID()).Bool("relayed", fresh.Relayed()).Msg("a link was made anew with the present certificates")
	return nil
}
