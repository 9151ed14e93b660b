package node

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
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

// askTimeout bounds how long one node may take to tell its time.
const askTimeout = time.Second

// AskTime asks the other side for its overlay time. The sample's offset is
// that minus t.Now(), at the middle of the exchange.
func AskTime(ctx context.Context, c Caller, t *Timekeeper) (identity.TimeSample, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	ask := &wire.GetTime{}
	rand.Read(ask.Nonce[:])
	before := t.Now()
	answer, err := c.Call(ctx, ask)
	if err != nil {
		return identity.TimeSample{}, fmt.Errorf("ask for the time: %w", err)
	}
	after := t.Now()
	m, ok := answer.(*wire.Time)
	if !ok || m.Nonce != ask.Nonce {
		return identity.TimeSample{}, fmt.Errorf("ask for the time: %w", link.ErrProtocol)
	}
	middle := before.Add(after.Sub(before) / 2)
	return identity.TimeSample{Offset: time.UnixMilli(m.Now).Sub(middle)}, nil
}

// clockWarning is the drift from which on a person is told, and from which on
// a clock that nobody has confirmed is not believed.
const clockWarning = 10 * time.Second

// Timekeeper is the overlay's clock as one program uses it: what it learns, it
// tells a person about where the system's clock is wrong. Safe for concurrent
// use.
type Timekeeper struct {
	clock *identity.Clock
	log   zerolog.Logger

	mu      sync.Mutex
	shifted time.Duration // by which learning has moved the clock since the start
	warned  bool
}

// NewTimekeeper returns the keeper of an overlay clock.
func NewTimekeeper(clock *identity.Clock, log zerolog.Logger) *Timekeeper {
	return &Timekeeper{clock: clock, log: log}
}

// Now is the overlay's time.
func (t *Timekeeper) Now() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.clock.Now()
}

// Steady is like Now, but goes on evenly when Now is corrected: for lifetimes
// that are counted within this process.
func (t *Timekeeper) Steady() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.clock.Now().Add(-t.shifted)
}

// Correction is Now minus Steady.
func (t *Timekeeper) Correction() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.shifted
}

// Offset is the overlay's time minus the system's.
func (t *Timekeeper) Offset() time.Duration { return t.clock.Offset() }

// Synced tells whether others, or the issuer, have confirmed the time.
func (t *Timekeeper) Synced() bool { return t.clock.Synced() }

// Save keeps what is known of the time for the next start.
func (t *Timekeeper) Save() error { return t.clock.Save() }

// Doubtful tells whether nobody has confirmed the time and it is known to be
// wrong: before the overlay began, or the system's clock was found wrong in an
// earlier run.
func (t *Timekeeper) Doubtful(began time.Time) bool {
	if t.clock.Synced() {
		return false
	}
	return t.clock.Offset().Abs() > clockWarning || t.clock.Now().Before(began.Add(-clockWarning))
}

// Learn corrects the time by what nodes said. everybody tells that the samples
// come from all there are, of fewer than three other owners; see
// identity.Clock.LearnAll.
func (t *Timekeeper) Learn(samples []identity.TimeSample, everybody bool) identity.TimeReport {
	t.mu.Lock()
	defer t.mu.Unlock()
	learn := t.clock.Learn
	if everybody {
		learn = t.clock.LearnAll
	}
	r := learn(samples)
	if !r.Accepted {
		t.log.Debug().Str("reason", r.Refused).Int("owners", r.Owners).Msg("the time was not learnt")
		return r
	}
	t.shifted += r.Shift
	offset := t.clock.Offset()
	if wrong := offset.Abs() > clockWarning; wrong && !t.warned {
		t.log.Warn().Stringer("by", offset.Round(time.Second)).
			Msg("this machine's clock is wrong; calls work by the overlay's time, but set the clock (the program does not)")
		t.warned = true
	} else if !wrong {
		t.warned = false
	}
	return r
}

// Time answers GetTime, unless this node knows that its own time is wrong.
func (n *Node) Time(m *wire.GetTime) wire.Message {
	if n.time.Doubtful(n.began()) {
		return wire.Errorf(wire.CodeUnavailable, "this node does not know the time itself")
	}
	return &wire.Time{Nonce: m.Nonce, Now: n.time.Now().UnixMilli()}
}

// began is when the overlay's charter was signed: no overlay time lies before.
func (n *Node) began() time.Time { return time.UnixMilli(n.cfg.Trust.Charter().Issued) }

// recordTime is the time for the store: zero, which skips the check of times,
// while it is known to be wrong.
func (n *Node) recordTime() time.Time {
	if n.time.Doubtful(n.began()) {
		return time.Time{}
	}
	return n.time.Now()
}
