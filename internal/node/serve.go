package node

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/secp2psip/secp2psip/chord"
	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// handler gives each message that comes over the link to its room.
type handler struct{ n *Node }

// Serve implements link.Handler.
func (h handler) Serve(ctx context.Context, from *link.Conn, req wire.Message) wire.Message {
	switch m := req.(type) {
	case *wire.Ping:
		return &wire.Pong{Time: h.n.cfg.Clock.Now().UnixMilli()}
	case *wire.GetTime:
		return h.n.Time(m)
	case *wire.GetState, *wire.Find, *wire.Join, *wire.Notify, *wire.Leave, *wire.Store, *wire.StoreMany, *wire.Fetch:
		ring := h.n.Ring()
		if ring == nil {
			return wire.Errorf(wire.CodeUnavailable, "starting")
		}
		return ring.Serve(ctx, wire.Peer{ID: from.ID(), Owner: from.Owner(), Addrs: []netip.AddrPort{from.RemoteAddr()}}, req)
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
type ringView struct{ ring *chord.Node }

// Store implements directory.Ring.
func (v ringView) Store(ctx context.Context, pos identity.NodeID, r record.Record) ([]directory.Holder, error) {
	said, err := v.ring.Store(ctx, pos, r)
	if err != nil {
		return nil, err
	}
	var holders []directory.Holder
	for _, h := range said {
		switch {
		case h.Err != nil:
		case h.Outcome.Held():
			holders = append(holders, directory.Holder{Node: h.Peer.ID, Owner: h.Peer.Owner})
		case h.Outcome == record.OutcomeStale:
			err = directory.ErrStale
		case h.Outcome == record.OutcomeConflict:
			err = directory.ErrConflict
		case len(holders) == 0 && err == nil:
			err = fmt.Errorf("a holder refuses the record: %s", h.Outcome)
		}
	}
	if len(holders) > 0 && !errors.Is(err, directory.ErrStale) && !errors.Is(err, directory.ErrConflict) {
		err = nil
	}
	return holders, err
}

// Fetch implements directory.Ring.
func (v ringView) Fetch(ctx context.Context, pos, resource identity.NodeID, part *uint64) (directory.Answer, error) {
	a, err := v.ring.Fetch(ctx, pos, resource, part)
	return directory.Answer{
		Records: a.Records, Holder: directory.Holder{Node: a.Holder.ID, Owner: a.Holder.Owner},
		Responsible: a.Responsible, RTT: a.RTT,
	}, err
}

// Size implements directory.Ring.
func (v ringView) Size() int { return v.ring.Status().Members }
