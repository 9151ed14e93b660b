package node

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/secp2psip/secp2psip/chord"
	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/hidden"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/ringdir"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// newHidden makes what passes other members' hidden look-ups on and answers
// them; every node does that, whether it hides its own or not.
func (n *Node) newHidden() (*hidden.Relay, error) {
	return hidden.NewRelay(hidden.Config{
		Self: n.id, Overlay: n.cfg.Trust.Overlay(), Key: n.cfg.Key, Members: known{n}, Transport: guarded{transport{n.link}, n.guard}, Refused: n.count("hidden"),
		Fetch: func(ctx context.Context, from wire.Peer, req *wire.Fetch) wire.Message {
			return n.Ring().Serve(ctx, from, req)
		},
	})
}

// serveHidden answers Pass, Turn and Ask of a member.
func (n *Node) serveHidden(ctx context.Context, from *link.Conn, req wire.Message) wire.Message {
	if n.Ring() == nil {
		return wire.Errorf(wire.CodeUnavailable, "starting")
	}
	if from.Relayed() {
		return wire.Errorf(wire.CodeForbidden, "members call each other directly")
	}
	if refused := n.shun(from.ID()); refused != nil {
		return refused
	}
	return n.hidden.Serve(ctx, wire.Peer{ID: from.ID(), Owner: from.Owner()}, req)
}

// known is the table of members in the words of hidden look-ups.
type known struct{ n *Node }

// Member implements hidden.Members.
func (k known) Member(id identity.NodeID) (wire.Peer, identity.PublicKey, bool) {
	ring := k.n.Ring()
	if ring == nil || id == k.n.id || k.n.guard.Evicted(id) {
		return wire.Peer{}, identity.PublicKey{}, false
	}
	peer, desc, ok := ring.View().Member(id)
	if !ok || desc == nil {
		return peer, identity.PublicKey{}, ok
	}
	if cert := k.n.notary.certificate(desc.Certificate); cert != nil {
		return peer, cert.Key, true
	}
	return peer, identity.PublicKey{}, true
}

// hide returns what one resolution asks with, if this node hides its look-ups.
func (n *Node) hide(ring *chord.Node) func(directory.Hiding) directory.Fetcher {
	if !n.cfg.HideLookups {
		return nil
	}
	return func(h directory.Hiding) directory.Fetcher {
		d := drawing{n: n, ring: ring, Hiding: h}
		return hiddenRing{ring, hidden.NewWay(hidden.Asking{
			Self: n.id, Overlay: n.cfg.Trust.Overlay(), Members: known{n}, Transport: guarded{transport{n.link}, n.guard},
			Draw: d.draw, Wait: func(id identity.NodeID) time.Duration { return ring.View().Wait(id) }, Refused: n.count("hidden"),
		})}
	}
}

// hiddenRing asks by a way.
type hiddenRing struct {
	ring *chord.Node
	way  *hidden.Way
}

// Fetch implements directory.Fetcher.
func (h hiddenRing) Fetch(ctx context.Context, pos, resource identity.NodeID, part *uint64) (directory.Answer, error) {
	a, err := h.ring.FetchOver(ctx, h.way, pos, resource, part)
	switch {
	case errors.Is(err, chord.ErrIncomplete):
		err = fmt.Errorf("%w: this adapter does not know the whole ring, so it would have to ask who is responsible", directory.ErrHidden)
	case len(a.Records) == 0 && h.way.Lost(): // what this node itself has not is no answer
		err = directory.ErrHidden
	}
	return ringdir.Fetched(a), err
}

// drawing draws the two members that a resolution asks through.
type drawing struct {
	directory.Hiding
	n    *Node
	ring *chord.Node
}

// draw returns them; the first is Through, at the first try and where that is a
// member.
func (d drawing) draw(try int) (first, second wire.Peer, ok bool) {
	view := d.ring.View()
	holders := make(map[identity.NodeID]bool)
	for _, pos := range d.Positions {
		for _, p := range view.Holders(pos) {
			holders[p.ID] = true
		}
	}
	var seed [32]byte
	crand.Read(seed[:])
	c := hidden.Candidates{
		Owner: d.n.owner, Members: view.Peers(), Holds: func(id identity.NodeID) bool { return holders[id] },
		Usable: func(id identity.NodeID) bool { _, key, ok := known{d.n}.Member(id); return ok && !key.IsZero() },
	}
	first, _ = d.through(try)
	return c.Draw(rand.New(rand.NewChaCha8(seed)), first) // #nosec G404 -- a strong generator, seeded by crypto/rand
}

// through returns the member that the look-up is to go through, which may be this
// node itself.
func (d drawing) through(try int) (wire.Peer, bool) {
	switch {
	case try > 0 || d.Through == (identity.NodeID{}):
		return wire.Peer{}, false
	case d.Through == d.n.id:
		return wire.Peer{ID: d.n.id, Owner: d.n.owner}, true
	}
	p, _, ok := known{d.n}.Member(d.Through)
	return p, ok
}
