package chord

import (
	"bytes"
	"slices"
	"time"

	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// The outcomes of an item of StoreMany that this node did not look at: its
// position is out of range, or the sender has brought too many of late.
const (
	outcomeElsewhere record.Outcome = 0
	outcomeLater     record.Outcome = 8
)

// Serve answers Store, StoreMany, Offer and Fetch, seen from v; nil for other
// messages. from's ID must be verified. It may be called from many goroutines.
func (k *Keeper) Serve(now time.Time, v *View, from wire.Peer, req wire.Message) wire.Message {
	if fetch, ok := req.(*wire.Fetch); ok && v.Phase != PhaseClient {
		return k.serveFetch(now, v, fetch)
	}
	if v.Phase != PhaseJoined {
		k.cfg.Refused(RefusedNotJoined)
		return wire.Errorf(wire.CodeUnavailable, "not a member of the ring")
	}
	switch req := req.(type) {
	case *wire.Store:
		outcome, seq, wait := k.put(now, v, from, req.Position, req.Record)
		switch outcome {
		case outcomeElsewhere:
			return wire.Errorf(wire.CodeForbidden, "not responsible for that position")
		case outcomeLater:
			return &wire.Error{Code: wire.CodeTooMany, Reason: "too many records of this name", Retry: uint32(wait.Milliseconds()) + 1}
		}
		return &wire.Stored{Outcome: uint8(outcome), Seq: seq}
	case *wire.StoreMany:
		outcomes := make([]byte, len(req.Items))
		for i, item := range req.Items {
			outcome, _, _ := k.put(now, v, from, item.Position, item.Record)
			outcomes[i] = byte(outcome)
			if outcome == record.OutcomeStored && v.Responsible(item.Position) {
				k.rouse() // the other holder may lack it, too
			}
		}
		k.handed(now, v, from.ID, len(req.Items))
		return &wire.StoredMany{Outcomes: outcomes}
	case *wire.Offer:
		if len(req.Items) == 0 {
			k.asks(v, from.ID)
		}
		answers := make([]byte, len(req.Items))
		for i := range req.Items {
			answers[i] = k.lacks(v, &req.Items[i])
		}
		return &wire.Wanted{Answers: answers}
	}
	return nil
}

// lacks answers one item of an Offer.
func (k *Keeper) lacks(v *View, o *wire.Offered) byte {
	if !v.InRange(o.Position) {
		return wire.WantedElsewhere
	}
	held := k.cfg.Records.Get(o.Resource, &o.Part)
	for i := range held {
		r := &held[i]
		switch held, err := r.Body(); {
		case err != nil:
		case held.Seq > o.Seq:
			return wire.WantedStale
		case held.Seq == o.Seq && digestOf(r) == o.Digest:
			return wire.WantedSame
		}
	}
	return wire.WantedYes
}

// put stores a record that belongs at pos, if this node is one of those that
// keep what lies there and the sender has not brought too many. wait is set
// with outcomeLater.
func (k *Keeper) put(now time.Time, v *View, from wire.Peer, pos ID, r record.Record) (outcome record.Outcome, seq uint64, wait time.Duration) {
	w, err := r.Where(k.cfg.Charter)
	if err != nil {
		k.cfg.Refused(RefusedBadRecord)
		return record.OutcomeInvalid, 0, 0
	}
	if !slices.Contains(w.Places, pos) {
		k.cfg.Refused(RefusedBadPosition)
		return record.OutcomeInvalid, 0, 0
	}
	if !v.InRange(pos) {
		k.cfg.Refused(RefusedNotResponsible)
		return outcomeElsewhere, 0, 0
	}
	counted := from.ID != v.Self.ID && !k.has(w, &r)
	sender := k.allowed.of(from)
	if counted {
		if wait = k.allowed.take(now, sender, w.Body.AOR); wait > 0 {
			k.cfg.Refused(RefusedStoresOften)
			return outcomeLater, 0, wait
		}
	}
	outcome, verified, err := k.cfg.Records.Put(r)
	if outcome == record.OutcomeSame && counted { // it has come from elsewhere meanwhile
		k.allowed.giveBack(sender, w.Body.AOR)
	}
	if outcome.Held() {
		if v.members.rank(pos, v.Self.ID) >= copies {
			k.rouse() // it came to the wrong one of those that may keep it
		}
		return outcome, w.Body.Seq, 0
	}
	if err != nil && verified == nil {
		k.cfg.Refused(RefusedBadRecord)
		return record.OutcomeInvalid, 0, 0
	}
	return outcome, k.held(verified), 0
}

// has reports whether these very bytes are held.
func (k *Keeper) has(w *record.Where, r *record.Record) bool {
	held := k.cfg.Records.Get(w.Resource, &w.Body.Part)
	return slices.ContainsFunc(held, func(h record.Record) bool { return bytes.Equal(h.Signed, r.Signed) })
}

// held returns the sequence number of the record that keeps v out; 0 when only
// the memory of one does.
func (k *Keeper) held(v *record.Verified) uint64 {
	for _, r := range k.cfg.Records.Get(v.Resource(), &v.Body.Part) {
		if held, err := r.Body(); err == nil {
			return held.Seq
		}
	}
	return 0
}

// serveFetch answers from what the node holds, whatever the position: a reader
// judges by the neighbours that the answer names. While a handover is under way
// it names none.
func (k *Keeper) serveFetch(now time.Time, v *View, req *wire.Fetch) wire.Message {
	records := k.cfg.Records.Get(req.Resource, req.Part)
	answer := &wire.Fetched{Records: records[:min(len(records), wire.MaxItems)]}
	if v.Phase == PhaseJoined && v.Settled && !k.waits(now) {
		pred := v.Pred
		answer.Pred = &pred
		if len(v.Succ) > 0 {
			succ := v.Succ[0]
			answer.Succ0 = &succ
		}
	}
	return answer
}
