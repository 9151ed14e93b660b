package chord

import (
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/secp2psip/secp2psip/internal/identity"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// The bounds of the keeper's work.
const (
	keeperSettle   = 20 * time.Millisecond  // after a change, before records move
	keeperRest     = 300 * time.Millisecond // between two rounds
	keeperRetry    = 500 * time.Millisecond // after a round in which pushes failed, twice as long each time
	keeperRetries  = 6                      // such rounds in a row; then the next round of repair has its turn
	keeperParallel = 4                      // nodes that are pushed to at a time
	keeperRound    = 4096                   // pushes in one round
	keeperSpare    = 512                    // pushes that memory is kept for
	keeperSent     = 16384                  // pushes remembered
	keeperPerItem  = 10 * time.Millisecond  // rounds of repair are this far apart per record held
	keeperLoss     = 6 * time.Second        // from the loss of many to a round of repair, up to twice that
	keeperAsked    = 64                     // nodes whose wish for a handover waits
	keeperAgain    = 2 * time.Second        // between two wishes of one node that are granted
)

// freshFor is how long a node that has joined waits for the handover from its
// successor before it counts as over; askFor is how long it goes on asking
// neighbours that it gets to know for what they have pushed to it before.
const (
	freshFor = 3 * time.Second
	askFor   = 15 * time.Second
)

// KeeperConfig describes a Keeper. All but Wake is required.
type KeeperConfig struct {
	Self        ID
	Records     Records
	Charter     identity.Charter
	RepairEvery time.Duration // between two rounds of repair, give or take half
	Rand        *rand.Rand    // for Step alone
	Refused     func(reason string)
	Wake        func()      // a Tick is due now; called by Serve
	Stores      StoreLimits // of others
}

// Keeper keeps a node's records and moves them to where they belong, as a step
// function: to new neighbours soon after the neighbourhood changed, and
// everything now and then. It answers other nodes, too. One goroutine owns it;
// Serve alone may be called from others.
//
// Its effects are of kinds Send and HandedOver. Every Send comes back as a
// Result.
type Keeper struct {
	cfg     KeeperConfig
	fresh   atomic.Int64 // until then, Unix ns, what the node misses may be on its way to it
	inbox   inbox
	allowed *allowances

	now time.Time // of the step under way
	at  Vantage   // likewise
	out []Effect

	begun    bool
	due      time.Time // of the next round; zero = none
	rest     time.Time // no round begins before
	repair   time.Time // of the next round of repair
	failures int       // rounds in a row in which pushes failed
	repaired time.Time // end of the last round of repair
	most     int       // members that were known at once since losses were last acted on
	hasty    int       // rounds of repair that come soon, because of losses
	leaving  bool      // hand everything over in the next round
	round    *keeperRoundState

	pred     ID               // to which everything was handed over
	sent     sent             // pushes that were answered
	plans    []push           // memory for one
	counted  int              // records, when all were looked at last
	planned  standing         // of the last round that left nothing to do
	askUntil time.Time        // until then neighbours are asked
	asked    map[ID]bool      // those that were
	granted  map[ID]time.Time // when a node's wish for a handover was granted last
	lastID   uint64
	flying   map[uint64]*line
	waited   bool // a handover to this node was still to come after the last step
}

// inbox is what Serve leaves for the next step.
type inbox struct {
	mu    sync.Mutex
	woken bool
	asked []ID // those that want what belongs at them
}

// sent is what was pushed, by the node that it went to.
type sent struct {
	to map[ID]map[slotKey]struct{}
	n  int
}

func (s *sent) has(to ID, slot slotKey) bool {
	if s == nil {
		return false
	}
	_, has := s.to[to][slot]
	return has
}

func (s *sent) add(to ID, slot slotKey) {
	if s.n >= keeperSent {
		s.clear()
	}
	if s.to[to] == nil {
		s.to[to] = make(map[slotKey]struct{})
	}
	before := len(s.to[to])
	s.to[to][slot] = struct{}{}
	s.n += len(s.to[to]) - before
}

// keep forgets what went to other nodes than some.
func (s *sent) keep(some func(ID) bool) {
	for id, slots := range s.to {
		if !some(id) {
			s.n -= len(slots)
			delete(s.to, id)
		}
	}
}

func (s *sent) clear() {
	clear(s.to)
	s.n = 0
}

// The events of a Keeper, beside Tick and Result.
type (
	// Changed: the neighbourhood has changed.
	Changed struct{}
	// Became: the node has become a member, responsible for what another has
	// held.
	Became struct{}
	// HandOver: the node is about to leave. An effect of kind HandedOver follows.
	HandOver struct{}
)

func (Changed) event()  {}
func (Became) event()   {}
func (HandOver) event() {}

// NewKeeper returns a keeper. Its first step begins the time to the first round
// of repair.
func NewKeeper(cfg KeeperConfig) *Keeper {
	if cfg.Wake == nil {
		cfg.Wake = func() {}
	}
	return &Keeper{
		cfg: cfg, sent: sent{to: make(map[ID]map[slotKey]struct{})}, asked: make(map[ID]bool),
		granted: make(map[ID]time.Time), flying: make(map[uint64]*line),
		allowed: newAllowances(cfg.Stores, int(cfg.Charter.N+cfg.Charter.MaxDevices)+2),
	}
}

// Step takes in one event, seen from at, and returns what is to be done. The
// slice is valid until the next step.
func (k *Keeper) Step(now time.Time, at Vantage, ev Event) []Effect {
	k.now, k.at = now, at
	clear(k.out)
	k.out = k.out[:0]
	if !k.begun {
		k.begun = true
		k.repair = now.Add(k.untilRepair(0))
	}
	switch ev := ev.(type) {
	case Result:
		k.answered(ev)
	case Changed:
		k.failures = 0
		k.wake(keeperSettle)
	case Became:
		k.joined()
	case HandOver:
		k.leaving = true
	}
	k.readInbox()
	k.hasten()
	k.tick()
	return k.out
}

// Deadline returns when the keeper wants a Tick at the latest.
func (k *Keeper) Deadline() time.Time {
	if k.round != nil {
		return time.Time{} // the answers come
	}
	at := sooner(k.due, k.repair)
	if k.waited {
		at = sooner(at, time.Unix(0, k.fresh.Load()))
	}
	return at
}

// wake has a round begin soon.
func (k *Keeper) wake(after time.Duration) {
	k.due = sooner(k.due, later(k.now.Add(after), k.rest))
}

// untilRepair spreads the rounds of repair, and makes them rarer for a node
// that holds much.
func (k *Keeper) untilRepair(held int) time.Duration {
	d := max(k.cfg.RepairEvery, time.Duration(held)*keeperPerItem)
	return d/2 + time.Duration(k.cfg.Rand.Int64N(int64(d)))
}

// hasten brings two rounds of repair forward when a tenth of the members has
// gone since the last one: with so many at once, both holders of some places
// are among them. The first waits until most of the dead have been noticed, the
// second passes on what the first has brought to a place that was empty.
func (k *Keeper) hasten() {
	n := k.at.View.Members()
	if k.at.View.Thin { // they come and go in the table as much as in the ring
		k.most = n
		return
	}
	k.most = max(k.most, n)
	if lost := k.most - n; lost == 0 || 10*lost < k.most {
		return
	}
	k.most = n
	k.hasty = 2
	soon := k.now.Add(keeperLoss + time.Duration(k.cfg.Rand.Int64N(int64(keeperLoss))))
	k.repair = sooner(k.repair, later(soon, k.repaired.Add(2*keeperLoss))) // where they come and go all the time, not all the time
}

// joined makes the node wait for what it is responsible for now.
func (k *Keeper) joined() {
	if k.at.View.Members() == 0 {
		return
	}
	clear(k.asked)
	k.askUntil = k.now.Add(askFor)
	k.fresh.Store(k.now.Add(freshFor).UnixNano())
	k.wake(keeperSettle)
}

// waits reports whether a handover is still to come, so that what the node
// does not hold may exist all the same.
func (k *Keeper) waits(now time.Time) bool { return now.UnixNano() < k.fresh.Load() }

// tick carries on with the round under way, or with one that is due.
func (k *Keeper) tick() {
	for k.round != nil || k.start() {
		r := k.round
		for len(r.lines) > 0 && r.flying < keeperParallel {
			l := r.lines[0]
			r.lines = r.lines[1:]
			if k.next(l) {
				r.flying++
			}
		}
		if r.flying > 0 {
			return
		}
		k.end()
	}
}

// start begins a round if one is due.
func (k *Keeper) start() bool {
	all := !k.now.Before(k.repair)
	switch {
	case k.leaving:
		k.beginLeaving()
	case all || !k.due.IsZero() && !k.now.Before(k.due):
		k.due = time.Time{}
		if all {
			k.failures = 0
		}
		k.begin(all)
	}
	return k.round != nil
}

// end ends a round and sets the time of the next one.
func (k *Keeper) end() {
	r := k.round
	k.round = nil
	k.rest = k.now.Add(keeperRest)
	if r.leaving {
		k.leaving = false
		k.emit(Effect{Kind: HandedOver})
		return
	}
	if !k.now.Before(k.repair) {
		k.repaired = k.now
		k.repair = k.now.Add(k.untilRepair(r.held))
		if k.hasty > 0 {
			k.hasty--
			k.repair = k.now.Add(k.untilRepair(r.held) / 3)
		}
	}
	switch {
	case r.failed == 0:
		k.failures = 0
		if r.stands.known {
			k.planned = r.stands
		}
	case k.failures < keeperRetries:
		k.wake(keeperRetry << k.failures)
		k.failures++
	}
	if !k.due.IsZero() {
		k.due = later(k.due, k.rest)
	}
}

func (k *Keeper) emit(e Effect) { k.out = append(k.out, e) }

// handed notes that a node has sent a StoreMany. To a node that waits for its
// handover, one from the successor that is not full is the end of it.
func (k *Keeper) handed(now time.Time, v *View, from ID, items int) {
	if !k.waits(now) || items == wire.MaxItems || len(v.Succ) == 0 || v.Succ[0].ID != from {
		return
	}
	k.fresh.Store(0)
	k.cfg.Wake() // now it can hand over in turn
}

// asks notes that a node wants what belongs there. It is granted to neighbours,
// who may have lost what they were sent.
func (k *Keeper) asks(v *View, from ID) {
	if !v.near(from) {
		k.cfg.Refused(RefusedNotResponsible)
		return
	}
	k.inbox.mu.Lock()
	if len(k.inbox.asked) < keeperAsked && !slices.Contains(k.inbox.asked, from) {
		k.inbox.asked = append(k.inbox.asked, from)
	}
	k.inbox.mu.Unlock()
	k.cfg.Wake()
}

// rouse notes that a record has come that another node may lack.
func (k *Keeper) rouse() {
	k.inbox.mu.Lock()
	k.inbox.woken = true
	k.inbox.mu.Unlock()
	k.cfg.Wake()
}

// readInbox takes up what Serve has left. A node's wish that comes too soon
// after another one waits its time.
func (k *Keeper) readInbox() {
	k.inbox.mu.Lock()
	woken, asked := k.inbox.woken, k.inbox.asked
	k.inbox.woken, k.inbox.asked = false, nil
	k.inbox.mu.Unlock()
	if woken || k.waited && !k.waits(k.now) {
		k.wake(keeperSettle)
	}
	k.waited = k.waits(k.now)
	var wait []ID
	for _, id := range asked {
		if again := k.granted[id].Add(keeperAgain); k.now.Before(again) {
			wait = append(wait, id)
			k.wake(again.Sub(k.now))
			continue
		}
		k.grant(id)
	}
	if len(wait) > 0 {
		k.inbox.mu.Lock()
		k.inbox.asked = append(k.inbox.asked, wait...)
		k.inbox.mu.Unlock()
	}
}

// grant has everything that belongs at a node pushed to it again.
func (k *Keeper) grant(id ID) {
	if len(k.granted) >= keeperAsked {
		clear(k.granted)
	}
	k.granted[id] = k.now
	k.planned = standing{}
	if id == k.pred {
		k.pred = ID{}
	}
	k.sent.keep(func(to ID) bool { return to != id })
	k.wake(keeperSettle)
}

// near reports whether a node is close enough to share records with.
func (v *View) near(id ID) bool {
	if v.Small || id == v.Pred.ID {
		return true
	}
	for i := range v.Succ {
		if v.Succ[i].ID == id {
			return true
		}
	}
	return v.members.rank(id, v.Self.ID) <= replicaReach
}
