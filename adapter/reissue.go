package adapter

import (
	"context"
	"errors"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/node"
	"github.com/secp2psip/secp2psip/sipbridge"
)

// When the overlay's issuing key is replaced, everybody needs new certificates.
// While the old key still counts, they come over a ring link as any renewal
// does. Afterwards nobody accepts this node's certificate: then the adapter
// enrols again, with the keys that it has, as at its first start. It does the same
// where its certificates have ended, and the charter's grace for them, too.

// The times of that.
const (
	reissueSpread = time.Hour // or a quarter of the grace: not everybody comes at once
	reissueFirst  = 2 * time.Second
	reissueLast   = time.Minute
	// lonelyFor is how long a node that reaches nobody waits before it asks whether
	// it has slept through a replacement; one that is refused asks at once.
	lonelyFor  = 10 * time.Second
	issuedLook = 5 * time.Second // between two looks
)

// posted is told of bulletins that are new.
func (a *Adapter) posted([]*identity.Posted) {
	select {
	case a.news <- struct{}{}:
	default:
	}
}

// keepIssued sees to it that this adapter's certificates are of an issuing key
// that counts, until ctx ends.
func (a *Adapter) keepIssued(ctx context.Context) error {
	select {
	case <-a.nodeUp:
	case <-ctx.Done():
		return nil
	}
	n := a.Node()
	timer := time.NewTimer(0)
	defer timer.Stop()
	lonely, asked, retry := time.Now(), time.Now(), reissueFirst
	for {
		select {
		case <-timer.C:
		case <-a.news:
		case <-a.leaving:
			return nil
		case <-ctx.Done():
			return nil
		}
		if !a.cutOff(n) {
			lonely = time.Now()
		}
		doubtful := time.Since(lonely) >= lonelyFor && time.Since(asked) >= lonelyFor || n.Link().RefusedUs().After(asked)
		if doubtful {
			asked = time.Now()
		}
		wait, err := a.reissueIfDue(ctx, n, doubtful)
		if err == nil {
			retry = reissueFirst
			timer.Reset(wait)
			continue
		}
		retry = min(retry, a.beforeTheEnd(n))
		if ctx.Err() == nil && !a.isLeaving() {
			a.log.Warn().Err(err).Stringer("again", retry).Msg("certificates of the new issuing key could not be fetched: is the bootstrap server up?")
		}
		timer.Reset(retry)
		retry = min(2*retry, reissueLast)
	}
}

// beforeTheEnd is how long a failed attempt may rest so that there are several
// before the issuing key ends.
func (a *Adapter) beforeTheEnd(n *node.Node) time.Duration {
	wait := reissueLast
	for _, acct := range a.allAccounts() {
		if s := n.IssuerState(acct.Chain); s.Outdated() && !s.Revoked {
			wait = min(wait, s.At.Sub(a.time.Now())/8)
		}
	}
	return max(wait, time.Second)
}

// cutOff tells that this node is in no ring, or in one of its own.
func (a *Adapter) cutOff(n *node.Node) bool {
	select {
	case <-n.Joined():
		return n.Alone()
	default:
		return true
	}
}

// reissueIfDue fetches certificates where their issuing key is revoked, or is to
// be and it is this adapter's turn, and returns when to look again.
func (a *Adapter) reissueIfDue(ctx context.Context, n *node.Node, doubtful bool) (wait time.Duration, err error) {
	var late, early []*account
	wait = issuedLook
	for _, acct := range a.allAccounts() {
		s := n.IssuerState(acct.Chain)
		if due := reissueDue(s, n.ID()); s.Revoked {
			late = append(late, acct)
		} else if s.Outdated() && !a.time.Now().Before(due) {
			early = append(early, acct)
		} else if s.Outdated() {
			wait = min(wait, max(due.Sub(a.time.Now()), 100*time.Millisecond))
		}
	}
	if len(late) == 0 && doubtful {
		late, err = a.sleptThrough(ctx, n)
	}
	for _, acct := range early {
		if e := a.reissueOverRing(ctx, n, acct); e != nil {
			err = e
		}
	}
	if len(late) > 0 {
		err = a.reissueAll(ctx, n, late)
	}
	return wait, err
}

// reissueDue is when a node's turn comes, while its issuing key still counts.
func reissueDue(s node.IssuerState, id identity.NodeID) time.Time {
	spread := min(s.At.Sub(s.Announced)/4, reissueSpread)
	return s.Announced.Add(spread / 256 * time.Duration(id[0]))
}

func (a *Adapter) reissueOverRing(ctx context.Context, n *node.Node, acct *account) error {
	aor, err := identity.NewAOR(acct.User, n.Trust().Overlay())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, enrolTimeout)
	defer cancel()
	return a.renew(ctx, n, acct, aor)
}

// sleptThrough asks a bootstrap server for the time and which issuing key counts,
// and returns the accounts with certificates of another one, or of none that is
// accepted any more.
func (a *Adapter) sleptThrough(ctx context.Context, n *node.Node) (late []*account, err error) {
	ctx, cancel := context.WithTimeout(ctx, enrolTimeout)
	defer cancel()
	conn, err := a.dialServer(ctx)
	if err != nil {
		return nil, nil // it is as down as everybody else
	}
	defer conn.Close()
	challenge, err := askChallenge(ctx, conn)
	if err != nil {
		return nil, err
	}
	if err := a.learnTime(ctx, conn); err != nil {
		return nil, err
	}
	now := a.time.Now()
	issuer, err := n.Trust().VerifyIssuer(challenge.Issuer, now)
	if err != nil {
		return nil, err
	}
	for _, acct := range a.allAccounts() {
		key, err := n.Trust().IssuerOf(acct.Chain)
		_, ended := n.Trust().VerifyAccount(acct.Chain, now)
		if err == nil && !key.Equal(issuer.Key) || errors.Is(ended, identity.ErrExpired) {
			late = append(late, acct)
		}
	}
	return late, nil
}

// reissueAll enrols accounts again with their own keys: names, keys and the
// place on the ring stay.
func (a *Adapter) reissueAll(ctx context.Context, n *node.Node, accounts []*account) error {
	ctx, cancel := context.WithTimeout(ctx, enrolTimeout)
	defer cancel()
	for _, acct := range accounts {
		aor, err := identity.NewAOR(acct.User, n.Trust().Overlay())
		if err != nil {
			return err
		}
		conn, err := a.dialServer(ctx)
		if err != nil {
			return err
		}
		answer, err := a.askRegister(ctx, conn, aor, acct, nil)
		_ = conn.Close()
		if err != nil {
			return err
		}
		if err := a.adoptRenewal(n, acct, aor, answer, nil); err != nil {
			return err
		}
		n.SeedPeers(answer.Peers)
	}
	a.log.Info().Int("accounts", len(accounts)).Msg("certificates fetched anew")
	n.Reunite(ctx)
	return nil
}

// withoutIssuer is the answer to a phone while the issuing key of its account is
// revoked and no new certificate has come; nil when that is not so.
func (a *Adapter) withoutIssuer(n *node.Node, acct *account) error {
	if !n.IssuerState(acct.Chain).Revoked {
		return nil
	}
	return sipbridge.OverlayDown("the overlay's issuing key was replaced, and new certificates have not come yet", reissueFirst)
}
