package chord

import (
	"context"
	"slices"

	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// outcomeElsewhere is the outcome of an item of StoreMany that this node did
// not take because its position is out of range.
const outcomeElsewhere record.Outcome = 0

// Serve answers a ring or record message. from's ID and owner must be verified;
// its addresses may be missing. It may be called from many goroutines.
func (n *Node) Serve(ctx context.Context, from wire.Peer, req wire.Message) wire.Message {
	switch req := req.(type) {
	case *wire.Ping:
		return &wire.Pong{Time: n.cfg.Now().UnixMilli()}
	case *wire.Store:
		return n.serveStore(req)
	case *wire.StoreMany:
		return n.serveStoreMany(from, req)
	case *wire.Fetch:
		if n.view.Load().Phase == PhaseClient {
			n.cfg.Refused(RefusedNotJoined)
			return wire.Errorf(wire.CodeUnavailable, "not a member of the ring")
		}
		return n.serveFetch(req)
	}
	reply := make(chan wire.Message, 1)
	if !n.enter(input{ev: Request{From: from, Msg: req}, reply: reply}) {
		return &wire.Error{Code: wire.CodeTooMany, Reason: "too many requests", Retry: uint32(busyRetry.Milliseconds())}
	}
	select {
	case m := <-reply:
		return m
	case <-ctx.Done():
		return wire.Errorf(wire.CodeTimeout, "given up")
	case <-n.stopped:
		return wire.Errorf(wire.CodeUnavailable, "the node stops")
	}
}

func (n *Node) serveStore(req *wire.Store) wire.Message {
	v := n.view.Load()
	if v.Phase != PhaseJoined {
		n.cfg.Refused(RefusedNotJoined)
		return wire.Errorf(wire.CodeUnavailable, "not a member of the ring")
	}
	outcome, seq := n.put(v, req.Position, req.Record)
	if outcome == outcomeElsewhere {
		return wire.Errorf(wire.CodeForbidden, "not responsible for that position")
	}
	return &wire.Stored{Outcome: uint8(outcome), Seq: seq}
}

func (n *Node) serveStoreMany(from wire.Peer, req *wire.StoreMany) wire.Message {
	v := n.view.Load()
	if v.Phase != PhaseJoined {
		n.cfg.Refused(RefusedNotJoined)
		return wire.Errorf(wire.CodeUnavailable, "not a member of the ring")
	}
	outcomes := make([]byte, len(req.Items))
	for i, item := range req.Items {
		outcome, _ := n.put(v, item.Position, item.Record)
		outcomes[i] = byte(outcome)
	}
	n.keeper.handed(v, from.ID, len(req.Items))
	return &wire.StoredMany{Outcomes: outcomes}
}

// put stores a record that belongs at pos, if this node is one of those that
// keep what lies there.
func (n *Node) put(v *View, pos ID, r record.Record) (outcome record.Outcome, seq uint64) {
	body, err := r.Body()
	if err != nil {
		n.cfg.Refused(RefusedBadRecord)
		return record.OutcomeInvalid, 0
	}
	if !slices.Contains(record.PositionsOf(body, n.cfg.Charter), pos) {
		n.cfg.Refused(RefusedBadPosition)
		return record.OutcomeInvalid, 0
	}
	if !v.InRange(pos) {
		n.cfg.Refused(RefusedNotResponsible)
		return outcomeElsewhere, 0
	}
	outcome, verified, err := n.cfg.Records.Put(r)
	if outcome.Held() {
		if v.members.rank(pos, v.Self.ID) >= copies {
			n.keeper.wake() // it came to the wrong one of those that may keep it
		}
		return outcome, body.Seq
	}
	if err != nil && verified == nil {
		n.cfg.Refused(RefusedBadRecord)
		return record.OutcomeInvalid, 0
	}
	return outcome, n.held(verified)
}

// held returns the sequence number of the record that keeps v out; 0 when only
// the memory of one does.
func (n *Node) held(v *record.Verified) uint64 {
	for _, r := range n.cfg.Records.Get(v.Resource(), &v.Body.Part) {
		if held, err := r.Body(); err == nil {
			return held.Seq
		}
	}
	return 0
}

// serveFetch answers from what the node holds, whatever the position: a reader
// judges by the neighbours that the answer names. While a handover is under way
// it names none.
func (n *Node) serveFetch(req *wire.Fetch) wire.Message {
	v := n.view.Load()
	records := n.cfg.Records.Get(req.Resource, req.Part)
	answer := &wire.Fetched{Records: records[:min(len(records), wire.MaxItems)]}
	if v.Phase == PhaseJoined && v.Settled && !n.keeper.waits() {
		pred := v.Pred
		answer.Pred = &pred
		if len(v.Succ) > 0 {
			succ := v.Succ[0]
			answer.Succ0 = &succ
		}
	}
	return answer
}
