package chord

import (
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/secp2psip/secp2psip/chord/zave"
	"github.com/secp2psip/secp2psip/internal/wire"
)

// Phase is where a node stands on its way into the ring and out of it.
type Phase uint8

// The phases.
const (
	PhaseIdle    Phase = iota // not a member, and not trying to be
	PhaseJoining              // asking members to be let in
	PhaseJoined               // a member
	PhaseLeft                 // was a member and said goodbye
	PhaseClient               // no member; uses the ring through members
)

// String returns the phase as a word.
func (p Phase) String() string {
	return [...]string{"idle", "joining", "joined", "left", "client"}[min(p, PhaseClient)]
}

// Timing says how often a node looks after its place in the ring. The zero
// value stands for the defaults.
type Timing struct {
	Every   time.Duration // between stabilisations, 1 s
	Fast    time.Duration // the same just after a change or a failure, 120 ms, growing while all is well
	FastFor time.Duration // how long after a change, 3 s
	Slow    time.Duration // the same when nothing has changed for SlowAfter, 4 s
	// SlowAfter is how long nothing must have changed, 20 s.
	SlowAfter time.Duration
}

func (t Timing) withDefaults() Timing {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&t.Every, time.Second)
	def(&t.Fast, min(120*time.Millisecond, t.Every))
	def(&t.FastFor, 3*time.Second)
	def(&t.Slow, 4*t.Every)
	def(&t.SlowAfter, 20*time.Second)
	return t
}

// MachineConfig describes a Machine.
type MachineConfig struct {
	Self       wire.Peer
	Successors int // r, 2 to zave.MaxSuccessors; 0 = 8
	Members    int // bound of the table of known members; 0 = MaxMembers
	Timing     Timing
	Seed       uint64 // of the jitter: the same seed and events give the same run
	Refused    func(reason string)

	// Verifier and Signer let the node take part in the spreading of signed
	// descriptors, which fills its table. Without them it learns of members by
	// walks round the ring.
	Verifier Verifier
	Signer   Signer
	// Collision is told of two verified descriptors of one member that have one
	// sequence number and are not the same. It must be quick. nil = ignored.
	Collision func(a, b *wire.Descriptor)
	Budget    int                  // bytes a second for membership; 0 = DefaultBudget
	Offset    func() time.Duration // overlay time less the time that Step is given; nil = none

	// OpenNetworks may have any number of members in the table, as private ones do.
	OpenNetworks []netip.Prefix
}

// Machine is one node's part in the ring, without sockets, clock or
// goroutines: events and the time go in, effects come out. It is owned by one
// goroutine. Equal events at equal times give equal effects.
type Machine struct {
	cfg   MachineConfig
	rng   *rand.Rand
	now   time.Time // of the step under way
	due   time.Time // when the machine wanted to be ticked
	lag   time.Duration
	loss  lossMeter
	out   []Effect
	phase Phase
	ring  zave.State
	table *table
	dead  graves

	calls   flights
	lastID  uint64
	probing map[ID]bool
	refuted refuted

	op         operation
	nextStab   time.Time
	fastUntil  time.Time
	changed    time.Time // when the ring state last changed
	quiet      int       // stabilisations in a row that changed nothing
	predDead   bool
	waiting    wire.Peer // notified us while the predecessor's life was in doubt
	hasWaiting bool
	unsettled  time.Time // until then a node that lost everybody gives no answers; zero = settled
	nextDead   time.Time // no dead member is asked before

	shrink     shrink
	news       news
	seen       map[ID]seen // of the neighbours
	toldStates toldStates  // to others
	history    history
	told       wire.Peer // as this node has told its head last, whose ID is head
	head       ID
	join       joining
	client     client
	explore    explore
	moved      bool // neighbours changed in this step
	relisted   int  // the first place of the list that changed in this step, from 1; 0 = none
	version    uint64
}

// NewMachine returns a machine that is not a member of any ring.
func NewMachine(cfg MachineConfig) (*Machine, error) {
	if cfg.Successors == 0 {
		cfg.Successors = zave.MaxSuccessors
	}
	if cfg.Successors < 2 || cfg.Successors > zave.MaxSuccessors {
		return nil, configError("%d successors, not 2 to %d", cfg.Successors, zave.MaxSuccessors)
	}
	if cfg.Members == 0 {
		cfg.Members = MaxMembers
	}
	if cfg.Members < 4*zave.MaxSuccessors {
		return nil, configError("room for %d members, not %d or more", cfg.Members, 4*zave.MaxSuccessors)
	}
	if cfg.Refused == nil {
		cfg.Refused = func(string) {}
	}
	if cfg.Budget <= 0 {
		cfg.Budget = DefaultBudget
	}
	cfg.Timing = cfg.Timing.withDefaults()
	m := &Machine{
		cfg:     cfg,
		rng:     rand.New(rand.NewPCG(cfg.Seed, 0x63686f7264)), // #nosec G404 -- from the seed, so that a run can be played again; it spreads timers and partners
		ring:    zave.Alone(cfg.Self.ID, cfg.Successors),
		dead:    newGraves(),
		probing: make(map[ID]bool),
		seen:    make(map[ID]seen),
		news:    newNews(),
	}
	m.table = newTable(cfg.Members, m.rng, m.pinned)
	m.table.signed = m.gossips()
	m.table.refuse, m.table.near = m.refuse, m.nearby
	m.table.diversity.exempt = cfg.OpenNetworks
	return m, nil
}

// Step takes in one event at time now, which never goes back, and returns what
// is to be done. The slice is valid until the next step.
func (m *Machine) Step(now time.Time, ev Event) []Effect {
	m.now = now
	m.measureLag()
	clear(m.out)
	m.out = m.out[:0]
	switch ev := ev.(type) {
	case Request:
		m.serve(ev)
	case Result:
		m.finish(ev)
	case Heard:
		m.alive(ev.ID, ev.RTT)
	case Suspect:
		m.suspected(ev.ID)
	case Create:
		m.create(ev.Known)
	case Join:
		m.startJoin(ev.Seeds)
	case Attend:
		m.attend(ev.Members)
	case Leave:
		m.leave()
	case Readdress:
		ev.Self.ID = m.cfg.Self.ID
		m.cfg.Self = clonePeer(ev.Self)
		m.version++
		m.reannounce()
	case Renew:
		m.reannounce()
	}
	m.tick()
	m.tellNews()
	if m.moved {
		m.moved = false
		m.emit(Effect{Kind: Moved})
	}
	m.due = m.deadline()
	return m.out
}

// measureLag notes how late the machine is ticked. A node that is short of
// processor time is in no position to call others dead, and most of those are
// likely on machines as busy: it waits longer for answers and asks less often.
func (m *Machine) measureLag() {
	m.lag -= m.lag / 8
	if !m.due.IsZero() {
		m.lag = min(max(m.lag, m.now.Sub(m.due)), maxLag)
	}
}

// Lag returns by how much the machine has been ticked too late of late.
func (m *Machine) Lag() time.Duration { return m.lag }

// tellNews lets the predecessor know that there is another list to adopt. It is
// asked for its state, and a member that is asked by its own head looks at that
// head soon. So a change runs back through all the lists that it concerns
// without waiting for a round in each.
//
// In a large ring under churn lists change all the time. There only the changes
// at the front are hurried on; the others travel with the rounds, of which a
// list of eight survives many.
func (m *Machine) tellNews() {
	if m.relisted > 0 && m.phase == PhaseJoined && !m.ring.Small() && m.hasty(m.relisted <= 2) {
		m.probe(m.ring.Pred)
	}
	m.relisted = 0
}

func (m *Machine) reannounce() {
	if m.phase == PhaseJoined {
		m.announce()
	}
}

// tick does whatever is due.
func (m *Machine) tick() {
	m.expireCalls()
	switch m.phase {
	case PhaseJoining:
		m.tickJoin()
	case PhaseClient:
		m.tickClient()
	case PhaseJoined:
		if !m.unsettled.IsZero() && !m.unsettled.After(m.now) {
			m.unsettled = time.Time{}
			m.version++
		}
		if !m.nextStab.After(m.now) {
			m.stabilize()
		}
		m.tickShrink()
		m.tickNews()
		m.tickGraves()
		m.tickExplore()
	}
}

// Deadline returns when the machine wants a Tick at the latest; zero = never.
func (m *Machine) Deadline() time.Time { return m.due }

func (m *Machine) deadline() time.Time {
	var at time.Time
	sooner := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	for i := range m.calls {
		sooner(m.calls[i].deadline)
	}
	switch m.phase {
	case PhaseJoining:
		if m.join.flying == 0 {
			sooner(m.join.next)
		}
	case PhaseClient:
		sooner(m.client.next)
	case PhaseJoined:
		sooner(m.nextStab)
		if !m.dead.next.IsZero() {
			sooner(later(m.dead.next, m.nextDead))
		}
		sooner(m.explore.next)
		m.newsDeadline(sooner)
		sooner(m.unsettled)
		if m.shrink.active {
			sooner(m.shrink.until)
		}
	}
	return at
}

// Version changes whenever View would return something else.
func (m *Machine) Version() uint64 { return m.version + m.table.version }

// Phase returns where the node stands.
func (m *Machine) Phase() Phase { return m.phase }

// Ring returns the node's ring state.
func (m *Machine) Ring() zave.State { return m.ring }

func (m *Machine) emit(e Effect) { m.out = append(m.out, e) }

func (m *Machine) refuse(reason string) { m.cfg.Refused(reason) }

// setRing replaces the ring state, and notes what follows from a change.
func (m *Machine) setRing(next zave.State) {
	if next == m.ring {
		return
	}
	if next.Pred != m.ring.Pred {
		m.predDead = false
	}
	front := next.Pred != m.ring.Pred || next.Head() != m.ring.Head()
	if next.Succ != m.ring.Succ {
		m.relisted = firstChange(&m.ring.Succ, &next.Succ)
	}
	before := m.ring
	m.ring = next
	m.countDeparted(&before)
	m.relist(&before)
	m.version++
	m.quiet = 0
	m.moved = true
	if m.hasty(front) {
		m.changed = m.now
		m.hurry()
	}
}

// relist tells the table who the neighbours are now.
func (m *Machine) relist(before *zave.State) {
	for _, id := range before.Succ.IDs() {
		m.table.list(id, m.ring.Succ.Contains(id) || id == m.ring.Pred)
	}
	m.table.list(before.Pred, m.ring.Succ.Contains(before.Pred) || before.Pred == m.ring.Pred)
	for _, id := range m.ring.Succ.IDs() {
		m.table.list(id, true)
	}
	m.table.list(m.ring.Pred, true)
	if len(m.seen) > 2*zave.MaxSuccessors {
		for id := range m.seen {
			if id != m.ring.Pred && !m.ring.Succ.Contains(id) {
				delete(m.seen, id)
			}
		}
	}
}

// jitter returns d, give or take an eighth.
func (m *Machine) jitter(d time.Duration) time.Duration {
	return d - d/8 + time.Duration(m.rng.Int64N(int64(d)/4+1))
}

// pinned reports whether a member must stay in the table.
func (m *Machine) pinned(id ID) bool {
	return id == m.ring.Pred || m.ring.Succ.Contains(id) || m.explore.fingers[id]
}

// view turns an answer into what the ring operations read. The lists of all
// members are equally long, so a shorter one is the small-ring mode.
func (m *Machine) view(s *wire.State) zave.View {
	v := zave.View{Self: s.Self.ID, Pred: s.Self.ID, R: m.ring.R}
	if s.Pred != nil {
		v.Pred = s.Pred.ID
	}
	v.Succ = m.list(s.Succ)
	return v
}

// list returns the IDs of the first r peers.
func (m *Machine) list(peers []wire.Peer) zave.List {
	var ids [zave.MaxSuccessors]ID
	n := 0
	for i := range peers[:min(len(peers), int(m.ring.R))] {
		ids[n] = peers[i].ID
		n++
	}
	return zave.MakeList(ids[:n]...)
}

// create makes the node a ring of one. A member only gets to know more peers
// that way.
func (m *Machine) create(known []wire.Peer) {
	m.remember(known)
	if m.phase == PhaseJoined {
		return
	}
	m.ring = zave.Alone(m.cfg.Self.ID, m.cfg.Successors)
	m.become()
}

// become makes the node a member with the ring state that it has.
func (m *Machine) become() {
	m.phase = PhaseJoined
	m.relist(&m.ring)
	m.version++
	m.join = joining{}
	m.op = operation{}
	m.predDead, m.hasWaiting = false, false
	m.changed = m.now
	m.moved = true
	m.nextStab = m.now
	m.hurry()
	m.emit(Effect{Kind: Joined})
	m.startNews()
}

// remember puts peers of an earlier run among those that are asked now and
// then.
func (m *Machine) remember(known []wire.Peer) {
	for _, p := range known[:min(len(known), maxGraves)] {
		if p.ID != m.cfg.Self.ID && m.table.get(p.ID) == nil {
			m.dead.bury(clonePeer(p), m.now, m.cfg.Timing.Fast)
		}
	}
}
