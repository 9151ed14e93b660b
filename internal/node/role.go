package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/secp2psip/secp2psip/chord"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// Role is what a node is to the ring.
type Role string

// The roles that can be configured.
const (
	RoleAuto   Role = "auto"   // a member as soon as, and as long as, others can call it; else a client
	RoleClient Role = "client" // never a member
	RolePeer   Role = "peer"   // a member, whoever can call it
)

// ReachTiming says how often a node finds out whether others can call it. Zero
// fields take the defaults in brackets.
type ReachTiming struct {
	Retry time.Duration // a client's first try to become a member; doubled each time up to 16 times that [10 s]
	Check time.Duration // a member's; after a failure a third of it [10 min]
	// Silent is how long an address at which another node did not answer is
	// left alone; doubled each time up to 10 min [5 s].
	Silent time.Duration
	Lease  time.Duration // between the renewals of an attachment, and until a peer that is silent counts as dead [4 s]
}

func (t ReachTiming) withDefaults() ReachTiming {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&t.Retry, 10*time.Second)
	def(&t.Check, 10*time.Minute)
	def(&t.Silent, 5*time.Second)
	def(&t.Lease, 4*time.Second)
	return t
}

// strikes is how many rounds of dial-backs in a row must fail before a member
// becomes a client.
const strikes = 2

// standing is what a node is and why; Node.mu guards it.
type standing struct {
	client   bool
	since    time.Time // overlay time
	by       []Voucher // of the last round that succeeded
	unproven bool      // a member that nobody has dialled back yet: it was alone
	failed   int       // rounds in a row that did not succeed
	why      string    // for people: why it is a client
	next     time.Time // when to find out again
	waits    time.Time // until then the ring does not let it in; zero = it may
}

// Standing tells people what a node is to the ring.
type Standing struct {
	Client bool
	Since  time.Time // overlay time
	By     []Voucher // who has dialled it back
	Why    string    // why it is a client
}

// Standing returns what this node is to the ring.
func (n *Node) Standing() Standing {
	n.mu.Lock()
	defer n.mu.Unlock()
	return Standing{n.standing.client, n.standing.since, slices.Clone(n.standing.by), n.standing.why}
}

// isClient tells whether the node uses the ring as a client.
func (n *Node) isClient() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.standing.client
}

// enter makes the node a member or a client of the ring of the seeds, which
// have answered it.
func (n *Node) enter(ctx context.Context, seeds []wire.Peer, v verdict) error {
	if n.cfg.Role == RolePeer || n.cfg.Role != RoleClient && v.reachable() {
		attempt, cancel := context.WithTimeout(ctx, joinTimeout)
		defer cancel()
		err := n.Ring().Join(attempt, n.meetingPoint(seeds))
		if wait, ok := errors.AsType[*chord.WaitError](err); ok {
			return n.waitAsClient(ctx, seeds, wait)
		}
		if err != nil {
			return err
		}
		n.stand(standing{by: v.by, unproven: len(v.by) == 0})
		return nil
	}
	if err := n.Ring().Attend(ctx, seeds); err != nil {
		return err
	}
	n.stand(standing{client: true, failed: 1, why: n.whyClient(v)})
	return nil
}

// waitAsClient makes the node a client for as long as the members next to its
// place do not let it in.
func (n *Node) waitAsClient(ctx context.Context, seeds []wire.Peer, wait *chord.WaitError) error {
	if err := n.Ring().Attend(ctx, seeds); err != nil {
		return err
	}
	s := standing{client: true, failed: 1, waits: time.Now().Add(jitter(wait.For) + wait.For/4)}
	s.why = fmt.Sprintf("a member says: %s; it tries again in %s", wait.Reason, time.Until(s.waits).Round(time.Minute))
	n.stand(s)
	n.cfg.Log.Warn().Str("why", wait.Reason).Dur("for", wait.For).Msg("the ring does not let this node in for a while: it uses the ring as a client meanwhile")
	return nil
}

// untried is why a node is a client about which nobody has given a verdict.
const untried = "nobody has tried to call it back yet"

func (n *Node) whyClient(v verdict) string {
	switch {
	case n.cfg.Role == RoleClient:
		return "it is configured to be one"
	case v.apart:
		_, six := familiesOf(n.Self().Addrs)
		mine, theirs := "IPv4", "IPv6"
		if six {
			mine, theirs = theirs, mine
		}
		return fmt.Sprintf("this host has %s only, and more members of the ring have %s only", mine, theirs)
	case v.silent > 0:
		return fmt.Sprintf("nodes of %d other people could not call it at the addresses that it publishes", v.silent)
	}
	return untried
}

// stand notes what the node is now.
func (n *Node) stand(s standing) {
	t := n.cfg.Reach
	n.mu.Lock()
	defer n.mu.Unlock()
	s.since = n.time.Now()
	if old := n.standing; old.client == s.client && !old.since.IsZero() {
		s.since = old.since
	}
	switch {
	case s.waits.After(time.Now()):
		s.next = s.waits
	case s.client && s.why == untried:
		s.next = time.Now().Add(min(time.Second, t.Retry))
	case s.client:
		s.next = time.Now().Add(jitter(t.Retry << min(max(s.failed-1, 0), 4)))
	case s.unproven:
		s.next = time.Now().Add(t.Retry)
	case s.failed > 0:
		s.next = time.Now().Add(jitter(t.Check / 3))
	default:
		s.next = time.Now().Add(jitter(t.Check))
	}
	n.standing = s
}

// moved makes the node find out soon whether it can be called where it is now.
func (n *Node) moved() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.standing.next = time.Now()
	n.holding.changed()
}

// others is how many members of the ring the node knows beside itself.
func (n *Node) others() int {
	st := n.Ring().Status()
	if st.Phase == chord.PhaseJoined {
		return st.Members - 1
	}
	return st.Members
}

// roleEvery is how often a node looks whether its role has to be looked after.
const roleEvery = time.Second

// keepRole makes a client a member when others can call it, and a member a
// client when they cannot any more, until ctx ends.
func (n *Node) keepRole(ctx context.Context) {
	tick := time.NewTicker(min(roleEvery, n.cfg.Reach.Retry))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		n.mu.Lock()
		s := n.standing
		n.mu.Unlock()
		due := !time.Now().Before(s.next)
		switch {
		case s.client && n.others() == 0:
			n.comeBack(ctx)
		case n.cfg.Role != RoleClient && s.client && due:
			n.promote(ctx, s)
		case n.cfg.Role == RoleAuto && !s.client && due && n.others() > 0:
			n.check(ctx, s)
		}
	}
}

// comeBack looks for members when a client has lost all that it knew.
func (n *Node) comeBack(ctx context.Context) {
	seeds, v := n.contact(ctx)
	if len(seeds) == 0 {
		return
	}
	if err := n.enter(ctx, seeds, v); err != nil {
		n.cfg.Log.Debug().Err(err).Msg("back on the ring, but not let in yet")
	}
}

// promote makes a client a member if others can call it now.
func (n *Node) promote(ctx context.Context, s standing) {
	known := n.Ring().Known()
	var v verdict
	if n.cfg.Role == RoleAuto {
		v = n.prove(ctx, known)
	}
	if n.cfg.Role == RoleAuto && !v.reachable() {
		s.failed++
		s.why = n.whyClient(v)
		n.stand(s)
		return
	}
	if err := n.enter(ctx, known, v); err != nil {
		n.cfg.Log.Debug().Err(err).Msg("others can call this node, but it was not let in")
		n.comeBack(ctx)
		return
	}
	if !n.isClient() {
		n.cfg.Log.Info().Msg("others can call this node now: it has become a member of the ring")
	}
}

// check makes a member a client if others cannot call it any more.
func (n *Node) check(ctx context.Context, s standing) {
	if n.isSurplus() {
		n.demote(ctx, "other nodes of this person are members of the ring already", time.Now().Add(n.cfg.Reach.Check))
		n.cfg.Log.Warn().Int("members", chord.MaxOfOwner).Msg("other nodes of this person are members of the ring already: this one uses it as a client")
		return
	}
	v := n.prove(ctx, n.Ring().Known())
	if _, six := familiesOf(n.Self().Addrs); v.apart && six { // one of the two sides has to yield
		n.demote(ctx, n.whyClient(v), time.Time{})
		return
	}
	v.apart = false
	switch {
	case v.reachable():
		s.failed, s.unproven, s.by = 0, len(v.by) == 0, v.by
		n.stand(s)
		return
	case !v.unreachable():
		n.stand(s)
		return
	}
	if s.failed++; s.failed < strikes && !s.unproven {
		n.stand(s)
		return
	}
	n.demote(ctx, n.whyClient(v), time.Time{})
	n.cfg.Log.Warn().Msg("others cannot call this node any more: it uses the ring as a client; let UDP through to its port, or see 'secp2psip doctor'")
}

// isSurplus tells whether this node is one more than a person may have in the ring.
// Of those that came at once, when none could know, the ones with the highest IDs
// are.
func (n *Node) isSurplus() bool {
	before := 0
	for _, p := range n.Ring().View().Peers() {
		if p.Owner == n.owner && p.ID.Compare(n.id) < 0 {
			before++
		}
	}
	return before >= chord.MaxOfOwner
}

// demote makes a member a client, and one that waits until a time where one is
// given.
func (n *Node) demote(ctx context.Context, why string, waits time.Time) {
	known := n.Ring().Known()
	leave, cancel := context.WithTimeout(ctx, leaveTime)
	defer cancel()
	if err := n.Ring().Leave(leave); err != nil {
		n.cfg.Log.Debug().Err(err).Msg("left the ring without farewell")
	}
	if err := n.Ring().Attend(ctx, known); err != nil {
		n.cfg.Log.Debug().Err(err).Msg("not attached yet")
	}
	n.stand(standing{client: true, failed: 1, why: why, waits: waits})
}

// leaveTime bounds the farewell of a member that becomes a client.
const leaveTime = 5 * time.Second
