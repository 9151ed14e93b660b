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

// Time answers GetTime.
func (n *Node) Time(m *wire.GetTime) wire.Message {
	return &wire.Time{Nonce: m.Nonce, Now: n.cfg.Clock.Now().UnixMilli()}
}
