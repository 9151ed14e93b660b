package adapter

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/secp2psip/secp2psip/internal/directory"
	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/node"
)

// decoyEvery is the mean time between two look-ups of one's own name, where
// look-ups are hidden.
const decoyEvery = 5 * time.Minute

// hiddenWithin is how long the callee's adapter waits at most, where its look-ups
// are hidden, until it looks a caller up.
const hiddenWithin = time.Second

// keepDecoys has the names of this adapter looked up now and then, where look-ups
// are hidden. Whoever holds records of two people and sees both names looked up
// in one second might else conclude that the one has called the other, for the
// callee looks the caller up, too; so there are look-ups of both kinds without a
// call. They also hear another key for one's own name, which callers, who ask no
// more positions than they must, are less likely to hear.
func (a *Adapter) keepDecoys(ctx context.Context) {
	select {
	case <-a.nodeUp:
	case <-ctx.Done():
		return
	}
	n := a.Node()
	select {
	case <-n.Joined():
	case <-ctx.Done():
		return
	}
	timer := time.NewTimer(nextDecoy(1))
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-a.leaving:
			return
		case <-ctx.Done():
			return
		}
		all := a.allAccounts()
		if len(all) > 0 { // one at a time: two of one adapter in one moment would show that they are
			_ = a.decoy(ctx, n, all[draw()%uint64(len(all))])
		}
		timer.Reset(nextDecoy(len(all)))
	}
}

// decoy looks a name of this adapter up: in half of the cases as a caller of that
// name would, through a member drawn at random, and else as somebody would whom
// that name has called, through this node. What fails is logged.
func (a *Adapter) decoy(ctx context.Context, n *node.Node, acct *account) error {
	aor, err := identity.NewAOR(acct.User, n.Trust().Overlay())
	if err != nil {
		return err
	}
	cert, err := n.Trust().VerifyAccount(acct.Chain, time.Time{})
	if err != nil {
		return err
	}
	opt := directory.Options{Fresh: true, NoPin: true, Stranger: true, Key: cert.Key.Tag()}
	if draw()%2 == 0 {
		opt.Through = n.ID()
	}
	_, err = n.Directory().Resolve(ctx, aor, opt)
	now := a.account(aor)
	switch {
	case err == nil:
	case errors.Is(err, directory.ErrOtherKey) && now != nil && now.Next == nil && slices.EqualFunc(now.Chain, acct.Chain, bytes.Equal): // it is not this adapter that changes it
		a.log.Error().Msg("the ring says another key for a name of this adapter: tell the operator, who has given it that key or does not know who has")
	default:
		a.log.Debug().Err(err).Msg("this adapter's own name was looked up in vain")
	}
	return err
}

// nextDecoy draws the time to the next one, of so many names: they come as a Poisson process does,
// so that nobody can tell them from calls by when they come.
func nextDecoy(names int) time.Duration {
	mean := decoyEvery / time.Duration(max(names, 1))
	u := (float64(draw()>>11) + 1) / (1 << 53) // above 0, at most 1
	return min(time.Duration(-math.Log(u)*float64(mean)), 20*mean)
}

// draw returns a number that nobody can foresee.
func draw() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return binary.BigEndian.Uint64(b[:])
}
