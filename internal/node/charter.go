package node

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// How a later edition of the charter reaches everybody: who takes one over tells
// those that it is connected to, and every ten minutes each node asks another one
// which edition it has, the first time soon after its start.
const (
	charterEvery = 10 * time.Minute
	charterSoon  = 2 * time.Second // after the start, and between tries that nobody answers
	charterTries = 6               // before it is asked for as rarely as ever
	charterTime  = 4 * time.Second // for one question or one telling
	charterRate  = rate.Limit(4)   // charters a second that others may make this node verify
	charterBurst = 16              // and at once
)

// The reasons for which charters are refused, in the room "node".
const (
	reasonCharterForged  = "charter_forged"
	reasonCharterForeign = "charter_foreign"
	reasonCharterOld     = "charter_old"
	reasonCharterFixed   = "charter_fixed"
	reasonCharterRate    = "charter_rate"
)

// charters is the charter in force, as the root key has signed it.
type charters struct {
	current atomic.Pointer[identity.SignedCharter] // nil: not known in its signed form
	taking  sync.Mutex
	limit   *rate.Limiter
	news    chan struct{} // has a token while others are to be told
}

func newCharters(s identity.SignedCharter) *charters {
	c := &charters{limit: rate.NewLimiter(charterRate, charterBurst), news: make(chan struct{}, 1)}
	if len(s) > 0 {
		c.current.Store(&s)
	}
	return c
}

// Charter returns the charter in force as the root key has signed it, nil if that
// is not known.
func (n *Node) Charter() identity.SignedCharter {
	if s := n.charters.current.Load(); s != nil {
		return *s
	}
	return nil
}

// TakeCharter takes over a charter that is a later edition than the one in force:
// verified with the root key, it is kept, holds from now on, and is told on. The
// same edition once more is no error. The errors are those of identity's Adopt;
// one of keeping it comes after it has been adopted.
func (n *Node) TakeCharter(s identity.SignedCharter) error {
	c := n.charters
	c.taking.Lock()
	defer c.taking.Unlock()
	if now := n.Charter(); string(now) == string(s) {
		return nil
	}
	adopted, err := n.cfg.Trust.Adopt(s)
	if err != nil {
		n.count("node")(charterReason(err))
		return err
	}
	if !adopted && n.Charter() != nil {
		return nil
	}
	c.current.Store(&s)
	if !adopted {
		return nil // the edition in force, as signed
	}
	n.cfg.Log.Info().Uint64("edition", n.cfg.Trust.Charter().Seq).Msg("a new edition of the overlay's charter is in force")
	if n.cfg.KeepCharter != nil {
		if err = n.cfg.KeepCharter(s); err != nil {
			n.cfg.Log.Warn().Err(err).Msg("the new edition of the charter cannot be saved; after a restart it is asked for again")
		}
	}
	select {
	case c.news <- struct{}{}:
	default:
	}
	return err
}

func charterReason(err error) string {
	switch {
	case errors.Is(err, identity.ErrDowngrade):
		return reasonCharterOld
	case errors.Is(err, identity.ErrFixed):
		return reasonCharterFixed
	case errors.Is(err, identity.ErrOtherOverlay):
		return reasonCharterForeign
	}
	return reasonCharterForged
}

// offered takes in a charter that another node has sent. What it says its number
// is decides whether its signature is looked at.
func (n *Node) offered(s identity.SignedCharter) wire.Message {
	if now := n.Charter(); string(s) == string(now) {
		return &wire.Ack{}
	}
	if edition := s.Edition(); edition != 0 && edition < n.cfg.Trust.Charter().Seq {
		n.count("node")(reasonCharterOld)
		return wire.Errorf(wire.CodeMalformed, "there is a later edition")
	}
	if !n.charters.limit.Allow() {
		n.count("node")(reasonCharterRate)
		return &wire.Error{Code: wire.CodeTooMany, Reason: "too many charters", Retry: 1000}
	}
	if err := n.TakeCharter(s); charterRefused(err) {
		return wire.Errorf(wire.CodeMalformed, "that is no later edition")
	}
	return &wire.Ack{}
}

// charterRefused tells a charter that does not hold from one that could not be
// written down.
func charterRefused(err error) bool {
	return errors.Is(err, identity.ErrDowngrade) || errors.Is(err, identity.ErrFixed) || errors.Is(err, identity.ErrOtherOverlay) ||
		errors.Is(err, identity.ErrUntrusted) || errors.Is(err, identity.ErrMalformed)
}

// tellCharter tells others of new editions, and asks for them, until ctx ends.
func (n *Node) tellCharter(ctx context.Context) {
	next := time.NewTimer(jittered(charterSoon))
	defer next.Stop()
	for tries := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-n.charters.news:
			n.spreadCharter(ctx)
		case <-next.C:
			wait := charterEvery
			if tries++; n.askCharter(ctx) {
				tries = 0
			} else if tries <= charterTries {
				wait = charterSoon
			}
			next.Reset(jittered(wait))
		}
	}
}

// askCharter asks a node that this one is connected to, and one that it knows. It
// reports whether one has answered.
func (n *Node) askCharter(ctx context.Context) (answered bool) {
	for _, p := range partners(nearby{n}) {
		ctx, cancel := context.WithTimeout(ctx, charterTime)
		answer, err := n.link.Call(ctx, p, &wire.GetCharter{})
		cancel()
		is, ok := answer.(*wire.CharterIs)
		if err != nil || !ok {
			continue
		}
		n.offered(is.Charter)
		return true
	}
	return false
}

// spreadCharter tells nodes that this one is connected to, some of them where
// there are many.
func (n *Node) spreadCharter(ctx context.Context) {
	to := nearby{n}.connected()
	rand.Shuffle(len(to), func(i, j int) { to[i], to[j] = to[j], to[i] })
	var work sync.WaitGroup
	for _, p := range to[:min(len(to), tellMost)] {
		work.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, charterTime)
			defer cancel()
			_, _ = n.link.Call(ctx, p, &wire.CharterIs{Charter: n.Charter()}) // who misses it asks
		})
	}
	work.Wait()
}
