package node

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/rs/zerolog"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/link"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// Caller is one end of a connection that answers requests.
type Caller interface {
	Call(ctx context.Context, req wire.Message) (wire.Message, error)
}

// AskTime asks the other side for its overlay time. The sample's offset is
// that minus clock.Now(), at the middle of the exchange.
func AskTime(ctx context.Context, c Caller, clock *identity.Clock) (identity.TimeSample, error) {
	ask := &wire.GetTime{}
	rand.Read(ask.Nonce[:])
	before := clock.Now()
	answer, err := c.Call(ctx, ask)
	if err != nil {
		return identity.TimeSample{}, fmt.Errorf("ask for the time: %w", err)
	}
	after := clock.Now()
	m, ok := answer.(*wire.Time)
	if !ok || m.Nonce != ask.Nonce {
		return identity.TimeSample{}, fmt.Errorf("ask for the time: %w", link.ErrProtocol)
	}
	middle := before.Add(after.Sub(before) / 2)
	return identity.TimeSample{Offset: time.UnixMilli(m.Now).Sub(middle)}, nil
}

// clockWarning is the drift from which on a person is told.
const clockWarning = 10 * time.Second

// ReportTime tells a person where the system's clock is wrong.
func ReportTime(log zerolog.Logger, r identity.TimeReport) {
	if r.Refused != "" {
		log.Debug().Str("reason", r.Refused).Int("owners", r.Owners).Msg("the time was not learnt")
		return
	}
	if r.Shift.Abs() > clockWarning {
		log.Warn().Stringer("by", r.Shift.Round(time.Second)).Msg("this machine's clock is wrong; calls work by the overlay's time, but set the clock (the program does not)")
	}
}

// learnTime sets the overlay's time by what other nodes say: the issuer's word
// suffices, else three owners must speak. Only where this node knows fewer
// than three others does it take what those few say. Who issues keeps the
// time and learns it from nobody.
func (n *Node) learnTime(samples []identity.TimeSample) {
	if len(samples) == 0 || n.cfg.Enrol != nil {
		return
	}
	report := n.cfg.Clock.Learn(samples)
	if report.Refused == identity.ClockTooFewOwners && n.knownOthers() < timeOwners {
		report = n.cfg.Clock.LearnAll(samples)
	}
	ReportTime(n.cfg.Log, report)
}

// timeOwners is how many others a node must know before it insists on hearing
// three of them.
const timeOwners = 3

// knownOthers counts the people, other than this node's owner, whose nodes it
// knows from this run or the last.
func (n *Node) knownOthers() int {
	owners := map[identity.OwnerTag]bool{}
	peers := n.loadKnown()
	if ring := n.Ring(); ring != nil {
		peers = append(peers, ring.Known()...)
	}
	for _, p := range peers {
		if p.Owner != n.owner {
			owners[p.Owner] = true
		}
	}
	return len(owners)
}

// maxTimeAsked bounds how many members syncTime asks.
const maxTimeAsked = 7

// syncTime asks some members for the time while it is not known for sure.
func (n *Node) syncTime(ctx context.Context) {
	if n.cfg.Clock.Synced() || n.cfg.Enrol != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	var samples []identity.TimeSample
	for _, p := range n.Ring().Known() {
		if len(samples) >= maxTimeAsked {
			break
		}
		conn, err := n.link.Connect(ctx, p)
		if err != nil {
			continue
		}
		if sample, err := AskTime(ctx, conn, n.cfg.Clock); err == nil {
			sample.Owner, sample.Issuer = conn.Owner(), conn.Bootstrap()
			samples = append(samples, sample)
		}
	}
	n.learnTime(samples)
}

// storeTime is the overlay's time for the store: zero, and so no reason to
// refuse a record, while it is not known.
func (n *Node) storeTime() time.Time {
	if !n.cfg.Clock.Synced() {
		return time.Time{}
	}
	return n.cfg.Clock.Now()
}

// Time answers GetTime.
func (n *Node) Time(m *wire.GetTime) wire.Message {
	return &wire.Time{Nonce: m.Nonce, Now: n.cfg.Clock.Now().UnixMilli()}
}
