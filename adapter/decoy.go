package adapter

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"math"
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
// call. It also hears a second key for one's own name, which callers, who ask no
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
	timer := time.NewTimer(nextDecoy())
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-a.leaving:
			return
		case <-ctx.Done():
			return
		}
		for _, acct := range a.allAccounts() {
			a.decoy(ctx, n, acct)
		}
		timer.Reset(nextDecoy())
	}
}

// decoy looks a name of this adapter up: in half of the cases as a caller of that
// name would, through a member drawn at random, and else as somebody would whom
// that name has called, through this node.
func (a *Adapter) decoy(ctx context.Context, n *node.Node, acct *account) {
	aor, err := identity.NewAOR(acct.User, n.Trust().Overlay())
	if err != nil {
		return
	}
	opt := directory.Options{Fresh: true, NoPin: true, Stranger: true}
	if draw()%2 == 0 {
		opt.Through = n.ID()
	}
	_, err = n.Directory().Resolve(ctx, aor, opt)
	if err != nil {
		a.log.Debug().Err(err).Msg("this adapter's own name was looked up in vain")
	}
}

// nextDecoy draws the time to the next one: they come as a Poisson process does,
// so that nobody can tell them from calls by when they come.
func nextDecoy() time.Duration {
	u := (float64(draw()>>11) + 1) / (1 << 53) // above 0, at most 1
	return min(time.Duration(-math.Log(u)*float64(decoyEvery)), 20*decoyEvery)
}

// draw returns a number that nobody can foresee.
func draw() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return binary.BigEndian.Uint64(b[:])
}
