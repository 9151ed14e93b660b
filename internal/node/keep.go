package node

import (
	"context"
	"slices"
	"time"

	"github.com/secp2psip/secp2psip/chord"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// StoreLimits bounds what others may store at a node.
type StoreLimits = chord.StoreLimits

// fullRetry is when a node whose disk fails may be asked to store again.
const fullRetry = 15 * time.Second

// keep lets the ring store what others give into this node's keeping. The
// answer that a record is held means that it is on this node's disk. While the
// disk fails nothing is taken: others must keep it, who can.
func (n *Node) keep(ctx context.Context, ring *chord.Node, from wire.Peer, req wire.Message) wire.Message {
	if many, ok := req.(*wire.StoreMany); ok && len(many.Items) == 0 {
		return ring.Serve(ctx, from, req) // the end of a handover, or a question for one
	}
	if n.store.Failing() != nil {
		return n.full()
	}
	answer := ring.Serve(ctx, from, req)
	held := false
	switch a := answer.(type) {
	case *wire.Stored:
		held = record.Outcome(a.Outcome).Held()
	case *wire.StoredMany:
		held = slices.ContainsFunc(a.Outcomes, func(o byte) bool { return record.Outcome(o).Held() })
	}
	if held && n.store.Sync() != nil {
		return n.full()
	}
	return answer
}

// full refuses to store.
func (n *Node) full() wire.Message {
	n.cfg.Refused("record", record.ReasonNoDisk)
	return &wire.Error{Code: wire.CodeUnavailable, Reason: "this node cannot write to its disk", Retry: uint32(fullRetry.Milliseconds())}
}
