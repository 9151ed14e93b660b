package evidence

import (
	"context"
	"crypto/sha256"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/record"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// What one member may ask for.
const (
	asksBurst   = 16              // Vouches and Peeks at once
	asksEvery   = time.Second     // one more each
	accuseBurst = 8               // proofs looked at, at once
	accuseEvery = 5 * time.Second // one more each
	maxAskers   = 1024            // members whose asking is remembered
	peekTime    = 4 * time.Second // a Peek's own calls
)

// allowance is what a member may still ask for: one bucket for each kind.
type allowance struct{ asks, proofs bucket }

type bucket struct {
	left float64
	at   time.Time
}

func (b *bucket) take(now time.Time, every time.Duration, burst float64) bool {
	if b.at.IsZero() {
		b.left = burst
	} else {
		b.left = min(b.left+float64(now.Sub(b.at))/float64(every), burst)
	}
	if b.at = now; b.left < 1 {
		return false
	}
	b.left--
	return true
}

// allow takes one from a member's bucket.
func (g *Guard) allow(from identity.NodeID, proof bool) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	a := g.asks[from]
	if a == nil {
		if len(g.asks) >= maxAskers {
			clear(g.asks) // all begin anew; a member needs a certificate to be one of so many
		}
		a = &allowance{}
		g.asks[from] = a
	}
	if proof {
		return a.proofs.take(time.Now(), accuseEvery, accuseBurst)
	}
	return a.asks.take(time.Now(), asksEvery, asksBurst)
}

// Serve answers Vouch, Peek and Accuse; nil for other messages. from's ID must
// be verified.
func (g *Guard) Serve(ctx context.Context, from wire.Peer, req wire.Message) wire.Message {
	accuse, accuses := req.(*wire.Accuse)
	if !g.allow(from.ID, accuses) {
		if accuses {
			g.cfg.Refused(ReasonFlood)
		} else {
			g.cfg.Refused(ReasonPeekRate)
		}
		return &wire.Error{Code: wire.CodeTooMany, Reason: "too many of these", Retry: uint32(asksEvery.Milliseconds())}
	}
	switch req := req.(type) {
	case *wire.Vouch:
		signed, err := g.statement(req.Resource, req.Part, req.Nonce)
		if err != nil {
			return wire.Errorf(wire.CodeInternal, "cannot sign")
		}
		return &wire.Vouched{Outcome: wire.VouchedHeld, Statement: signed}
	case *wire.Peek:
		return g.peek(ctx, req)
	}
	if !accuses {
		return nil
	}
	if err := g.told(accuse.Proof); err != nil {
		g.cfg.Refused(ReasonBadProof)
		return wire.Errorf(wire.CodeMalformed, "that proves nothing")
	}
	return &wire.Ack{}
}

// peek fetches for another as for this node itself. Only known members are
// called, so that nobody can have a stranger's address called.
func (g *Guard) peek(ctx context.Context, req *wire.Peek) wire.Message {
	holder, ok := g.known(req.Holder)
	if !ok {
		g.cfg.Refused(ReasonUnknown)
		return wire.Errorf(wire.CodeNotFound, "no such member here")
	}
	ctx, cancel := context.WithTimeout(ctx, peekTime)
	defer cancel()
	answer, err := g.cfg.Transport.Call(ctx, holder, &wire.Fetch{Position: req.Position, Resource: req.Resource, Part: &req.Part})
	fetched, ok := answer.(*wire.Fetched)
	if err != nil || !ok {
		return &wire.Vouched{Outcome: wire.VouchedSilent}
	}
	for i := range fetched.Records {
		if b, err := fetched.Records[i].Body(); err == nil && b.Part == req.Part && b.Seq >= req.Seq {
			return &wire.Vouched{Outcome: wire.VouchedHeld}
		}
	}
	out := &wire.Vouched{Outcome: wire.VouchedNot}
	answer, err = g.cfg.Transport.Call(ctx, holder, &wire.Vouch{Resource: req.Resource, Part: req.Part, Nonce: req.Nonce})
	if v, ok := answer.(*wire.Vouched); ok && err == nil {
		out.Statement = v.Statement
	}
	return out
}

// known returns a member of this node's table.
func (g *Guard) known(id identity.NodeID) (wire.Peer, bool) {
	if ring := g.cfg.Ring(); ring != nil && id != g.cfg.Self && !g.Evicted(id) {
		for _, p := range ring.Peers() {
			if p.ID == id {
				return p, true
			}
		}
	}
	return wire.Peer{}, false
}

// digestOf is what names a record's bytes in a statement.
func digestOf(r *record.Record) (d [wire.OfferDigest]byte) {
	sum := sha256.Sum256(r.Signed)
	copy(d[:], sum[:])
	return d
}
