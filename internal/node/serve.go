package node

import (
	"context"
	"errors"
	"net/netip"

	"github.com/secp2psip/secp2psip/chord"
	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/ringdir"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// handler gives each message that comes over the link to its room.
type handler struct{ n *Node }

// Serve implements link.Handler.
func (h handler) Serve(ctx context.Context, from *link.Conn, req wire.Message) wire.Message {
	switch m := req.(type) {
	case *wire.Ping:
		return &wire.Pong{Time: h.n.time.Now().UnixMilli()}
	case *wire.GetTime:
		return h.n.Time(m)
	case *wire.GetCharter:
		if s := h.n.Charter(); s != nil {
			return &wire.CharterIs{Charter: s}
		}
		return nil
	case *wire.CharterIs:
		return h.n.offered(m.Charter)
	case *wire.GetBulletins, *wire.Post:
		return h.n.bulletins.serve(from.ID(), req)
	case *wire.DialBack:
		return h.n.serveDialBack(ctx, from, m)
	case *wire.Punch:
		return h.n.servePunch(from, m)
	case *wire.Attach:
		return h.n.serveAttach(from, m)
	case *wire.Vouch, *wire.Peek, *wire.Accuse:
		if from.Relayed() {
			return wire.Errorf(wire.CodeForbidden, "members call each other directly")
		}
		return h.n.guard.Serve(ctx, wire.Peer{ID: from.ID(), Owner: from.Owner()}, req)
	case *wire.Pass, *wire.Turn, *wire.Ask:
		return h.n.serveHidden(ctx, from, req)
	case *wire.GetState, *wire.Find, *wire.Join, *wire.Notify, *wire.Leave,
		*wire.Gossip, *wire.Doubt, *wire.GetMembers, *wire.GetCertificates,
		*wire.Store, *wire.StoreMany, *wire.Offer, *wire.Fetch:
		ring := h.n.Ring()
		if ring == nil {
			return wire.Errorf(wire.CodeUnavailable, "starting")
		}
		if from.Relayed() && !h.n.servesAcross(from, m) {
			return wire.Errorf(wire.CodeForbidden, "members call each other directly")
		}
		if refused := h.n.shun(from.ID()); refused != nil {
			return refused
		}
		peer := wire.Peer{ID: from.ID(), Owner: from.Owner()}
		if !from.Relayed() {
			peer.Addrs = []netip.AddrPort{from.RemoteAddr()}
		}
		switch m.(type) {
		case *wire.Store, *wire.StoreMany:
			return h.n.keep(ctx, ring, peer, req)
		}
		return ring.Serve(ctx, peer, req)
	}
	if h.n.cfg.Extra == nil {
		return nil
	}
	if h.n.Ring() == nil {
		return wire.Errorf(wire.CodeUnavailable, "starting")
	}
	return h.n.cfg.Extra.ServeExtra(ctx, from, req)
}

// ServeStream implements link.Handler.
func (h handler) ServeStream(ctx context.Context, from *link.Conn, open wire.Message, s *link.Stream) {
	if h.n.cfg.Extra == nil {
		_ = s.Close()
		return
	}
	h.n.cfg.Extra.ServeStream(ctx, from, open, s)
}

// transport is the link in the ring's words: a refusal is an answer.
type transport struct{ link *link.Link }

// Call implements chord.Transport.
func (t transport) Call(ctx context.Context, to wire.Peer, req wire.Message) (wire.Message, error) {
	answer, err := t.link.Call(ctx, to, req)
	if remote, ok := errors.AsType[*link.RemoteError](err); ok {
		e := wire.Errorf(remote.Code, "%s", remote.Reason)
		e.Retry = uint32(remote.Retry.Milliseconds())
		return e, nil
	}
	return answer, err
}

// ringView shows the ring to the directory in the directory's own words.
type ringView struct {
	ring  *chord.Node
	store *record.Store
}

// Store implements directory.Ring.
func (v ringView) Store(ctx context.Context, pos identity.NodeID, r record.Record) ([]directory.Holder, error) {
	said, err := v.ring.Store(ctx, pos, r)
	for _, h := range said {
		if h.Err == nil && h.Outcome.Held() && h.Peer.ID == v.ring.Status().Self.ID {
			_ = v.store.Sync() // the node's own copy; where the disk fails it is in memory only, as status says
		}
	}
	return ringdir.Stored(said, err)
}

// Fetch implements directory.Ring.
func (v ringView) Fetch(ctx context.Context, pos, resource identity.NodeID, part *uint64) (directory.Answer, error) {
	a, err := v.ring.Fetch(ctx, pos, resource, part)
	return ringdir.Fetched(a), err
}

// Size implements directory.Ring.
func (v ringView) Size() int { return v.ring.Status().Members }
