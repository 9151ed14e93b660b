package chord

import (
	"context"
	"fmt"
	"time"

	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// copies is how many nodes keep what lies at a position: the responsible one
// and its first successor of another owner.
const copies = 2

// storeTries is how many nodes are tried for that.
const storeTries = 6

// Holder is a node's answer to a record that was to be stored.
type Holder struct {
	Peer        wire.Peer
	Outcome     record.Outcome // 0 when Err is set
	Seq         uint64         // of the record that the node holds now
	Responsible bool           // the position lies in the node's own interval, as far as is known
	RTT         time.Duration  // 0 when the node is this one
	Err         error
}

// Store brings a record to the nodes that keep what lies at pos: the
// responsible one and its first successor of another owner. It returns what
// each one asked has said; a node that does not answer is passed by at once.
// The error is ErrNoHolder when none has said anything.
func (n *Node) Store(ctx context.Context, pos ID, r record.Record) ([]Holder, error) {
	chain, err := n.chain(ctx, pos, n.view.Load().Small)
	if err != nil {
		return nil, err
	}
	holders := n.storeAt(ctx, pos, r, holdersFirst(chain))
	if settled(holders) < min(copies, len(chain)) && ctx.Err() == nil {
		// The ring has changed. Ask once more who is there.
		if chain, err := n.chain(ctx, pos, false); err == nil {
			holders = append(holders, n.storeAt(ctx, pos, r, holdersFirst(without(chain, holders)))...)
		}
	}
	if settled(holders) == 0 {
		return holders, fmt.Errorf("%w: position %s", ErrNoHolder, pos.Short())
	}
	return holders, nil
}

// chain returns the node responsible for pos and its successors: from the table
// if that is good enough for the caller, else by a look-up.
func (n *Node) chain(ctx context.Context, pos ID, table bool) ([]wire.Peer, error) {
	v := n.view.Load()
	if v.Phase != PhaseJoined || !v.Settled {
		return nil, ErrNotJoined
	}
	if table {
		return v.chain(pos, storeTries), nil
	}
	route, err := n.Lookup(ctx, pos)
	if err != nil {
		return nil, err
	}
	return append([]wire.Peer{route.Responsible}, route.Successors...), nil
}

// holdersFirst moves the first successor of another owner to the second place
// and cuts the rest.
func holdersFirst(chain []wire.Peer) []wire.Peer {
	out := make([]wire.Peer, 0, storeTries)
	other := replicaOf(chain)
	for i, p := range chain {
		if i == 1 && other > 0 {
			out = append(out, chain[other])
		}
		if i != other || other == 0 {
			out = append(out, p)
		}
	}
	return out[:min(len(out), storeTries)]
}

// replicaOf returns the index of the first node of another owner than the
// first's; where all have one owner, that of the second node; 0 when there is
// only one.
func replicaOf(chain []wire.Peer) int {
	for i := 1; i < len(chain); i++ {
		if chain[i].Owner != chain[0].Owner {
			return i
		}
	}
	return min(1, max(0, len(chain)-1))
}

func without(chain []wire.Peer, holders []Holder) []wire.Peer {
	var out []wire.Peer
	for _, p := range chain {
		answered := false
		for _, h := range holders {
			answered = answered || h.Err == nil && h.Peer.ID == p.ID
		}
		if !answered {
			out = append(out, p)
		}
	}
	return out
}

// settled counts the nodes that hold the record or one that keeps it out.
func settled(holders []Holder) (count int) {
	for _, h := range holders {
		if h.Err == nil {
			count++
		}
	}
	return count
}

// storeAt asks the first two nodes at once, and another for each that fails or
// takes long.
func (n *Node) storeAt(ctx context.Context, pos ID, r record.Record, chain []wire.Peer) []Holder {
	v := n.view.Load()
	answers := make(chan Holder, len(chain))
	asked, good := 0, 0
	ask := func() {
		if asked < len(chain) {
			p, first := chain[asked], asked == 0
			asked++
			go func() { answers <- n.storeOne(ctx, v, pos, r, p, first) }() // ends with ctx or the call's timeout
		}
	}
	ask()
	ask()
	var holders []Holder
	wait := hedgeMost
	if len(chain) > 0 {
		wait = n.hedge(v, chain[0].ID)
	}
	late := time.NewTimer(wait)
	defer late.Stop()
	for len(holders) < asked && good < copies {
		select {
		case h := <-answers:
			holders = append(holders, h)
			if h.Err == nil {
				good++
			} else {
				ask()
			}
		case <-late.C:
			ask()
			late.Reset(hedgeUnknown)
		}
	}
	return holders
}

func (n *Node) storeOne(ctx context.Context, v *View, pos ID, r record.Record, p wire.Peer, first bool) Holder {
	h := Holder{Peer: p, Responsible: first}
	if p.ID == v.Self.ID {
		h.Outcome, h.Seq = n.put(v, pos, r)
		if h.Outcome == outcomeElsewhere {
			h.Err = fmt.Errorf("%w: out of range", ErrNoHolder)
		}
		return h
	}
	msg, rtt, err := n.ask(ctx, p, &wire.Store{Position: pos, Record: r})
	h.RTT = rtt
	stored, ok := msg.(*wire.Stored)
	switch {
	case err != nil:
		h.Err = err
	case !ok:
		n.cfg.Refused(RefusedUnexpected)
		h.Err = fmt.Errorf("%w: %s in answer to Store", ErrNoHolder, msg.Type())
	default:
		h.Outcome, h.Seq = record.Outcome(stored.Outcome), stored.Seq
	}
	return h
}
