package hidden

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// Asking is what a Way needs of the node that asks.
type Asking struct {
	Self      identity.NodeID
	Overlay   string
	Members   Members
	Transport Transport
	// Draw returns the two members to ask through, drawn at random, of two owners
	// and not of this node's; try counts from 0. A first of this node itself asks the
	// second directly. ok is false where there are not enough.
	Draw func(try int) (first, second wire.Peer, ok bool)
	// Wait is how long a member has taken to answer at most, as far as is known.
	Wait    func(id identity.NodeID) time.Duration
	Refused func(reason string)
}

// Way is how one resolution asks. All its questions go through the same two
// members: with others for each of them it would be likely that one of so many
// sees who asks just when a holder sees what is asked, and two such together
// know both. Safe for concurrent use.
type Way struct {
	cfg Asking

	mu      sync.Mutex
	tries   int
	current *circuit
	lost    bool // there is nobody left to ask through
}

// circuit is a drawn pair, and what has become of questions by it.
type circuit struct {
	first, second wire.Peer
	key           identity.PublicKey // of the second

	heard, unheard int // answers of holders, and none
}

// A Way draws so often, one after the other. Each further pair is another chance
// for those who want to know who asks, so there are few, and a member that
// answers others not at all cannot have more drawn.
const maxDraws = 2

// deafAfter is how many holders may be silent, while none has answered, before
// it is the second member that is taken to be at fault.
const deafAfter = 3

// NewWay returns a way; the members are drawn with the first question.
func NewWay(cfg Asking) *Way { return &Way{cfg: cfg} }

// Call asks a holder by this way, at most twice. It implements the ring's
// transport. The error is ErrNoWay, ErrNoAnswer, ErrNoKey, or ctx's.
func (w *Way) Call(ctx context.Context, to wire.Peer, req wire.Message) (wire.Message, error) {
	holder, key, ok := w.cfg.Members.Member(to.ID)
	if !ok || key.IsZero() {
		return nil, ErrNoKey
	}
	for {
		c, err := w.take()
		if err != nil {
			return nil, err
		}
		answer, err := w.ask(ctx, c, holder, key, req)
		if err == nil || ctx.Err() != nil || !w.failed(c, err) {
			return answer, err
		}
	}
}

// take returns the pair to ask through.
func (w *Way) take() (*circuit, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.current == nil {
		first, second, ok := wire.Peer{}, wire.Peer{}, false
		if w.tries < maxDraws {
			first, second, ok = w.cfg.Draw(w.tries)
		}
		if w.tries++; !ok {
			w.lost = true
			return nil, ErrNoWay
		}
		if _, key, known := w.cfg.Members.Member(second.ID); known && !key.IsZero() {
			w.current = &circuit{first: first, second: second, key: key}
		}
	}
	return w.current, nil
}

// failed notes a failure and tells whether the question is to be asked again, by
// another pair.
func (w *Way) failed(c *circuit, err error) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if errors.Is(err, ErrNoAnswer) {
		if c.unheard++; c.heard > 0 || c.unheard < deafAfter {
			return false
		}
	}
	if w.current == c {
		w.current = nil
	}
	return true
}

// ask asks one question through a pair.
func (w *Way) ask(ctx context.Context, c *circuit, holder wire.Peer, key identity.PublicKey, req wire.Message) (wire.Message, error) {
	ask, opensAsk, err := sealAsk(key, w.cfg.Overlay, req)
	if err != nil {
		return nil, err
	}
	turn, opensTurn, err := sealTurn(c.key, w.cfg.Overlay, holder.ID, ask)
	if err != nil {
		return nil, err
	}
	to, out := c.second, wire.Message(&wire.Turn{Box: turn})
	wait := w.cfg.Wait(c.second.ID) + w.cfg.Wait(holder.ID)
	if c.first.ID != w.cfg.Self {
		to, out = c.first, &wire.Pass{To: c.second.ID, Box: turn}
		wait += w.cfg.Wait(c.first.ID)
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	answer, err := w.cfg.Transport.Call(ctx, to, out)
	if err != nil {
		return nil, err
	}
	passed, ok := answer.(*wire.Passed)
	if !ok {
		return nil, ErrNoWay // an Error, of one of the two
	}
	m, err := openTurned(opensTurn, opensAsk, passed.Box)
	switch {
	case err == nil:
		w.mu.Lock()
		c.heard++
		w.mu.Unlock()
	case !errors.Is(err, ErrNoAnswer):
		w.cfg.Refused(ReasonBadAnswer)
	}
	return m, err
}

// Lost reports whether a question could not be asked since there is nobody left to
// ask through.
func (w *Way) Lost() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lost
}
